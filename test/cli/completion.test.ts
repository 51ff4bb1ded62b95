import { write } from "@messagedb/client";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);

beforeAll(async () => {
  await write(db.sql, "account-1", { type: "Opened" });
  await write(db.sql, "account-2", { type: "Opened" });
  await write(db.sql, "account:command-1", { type: "Open" });
  await write(db.sql, "order-$(touch me)", { type: "Placed" });
  await write(db.sql, "order:position-letters", { type: "Recorded", data: { position: 1 } });
});

/** What can follow, as the scripts ask for it: the words, and the directive behind them. */
async function complete(...words: string[]): Promise<string[]> {
  return wordsIn(await messagedb.print("complete", "--", ...words));
}

/** The same, where the store has names that can follow. */
async function completeByStore(...words: string[]): Promise<string[]> {
  return wordsIn(await messagedb.namesAfter(...words));
}

function wordsIn(printed: string): string[] {
  return printed.trimEnd().split("\n").map((line) => line.split("\t")[0]!);
}

describe("complete", () => {
  test("finds commands, with what they are", async () => {
    expect(await messagedb.print("complete", "--", "write-b")).toBe(
      "write-batch\tWrite the messages of a file together, and print the position of the last\n:4\n",
    );
    const all = await complete("");
    expect(all).toEqual(expect.arrayContaining(["read", "gateway", "completion"]));
    expect(all).not.toContain("complete");
    expect(await complete("--json", "comp")).toEqual(["completion", ":4"]);
  });

  test("finds options of the command and of all commands, and choices", async () => {
    const options = await complete("read", "account", "--");
    expect(options).toEqual(expect.arrayContaining(["--follow", "--help", "--url", "--json"]));
    expect(options).not.toContain("--version");
    expect(await complete("completion", "")).toEqual(["bash", "zsh", "fish", "powershell", ":4"]);
    // An option's value is neither a command nor an argument.
    expect(await complete("--token", "read", "comp")).toEqual(["completion", ":4"]);
    expect(await complete("read", "--from", "")).toEqual([":4"]);
    expect(await complete("completion", "bash", "")).toEqual([":4"]);
  });

  test("finds categories and streams of the store, and none that a shell would run", async () => {
    expect(await completeByStore("read", "acc")).toEqual(["account", "account:command", ":4"]);
    expect(await completeByStore("read", "--json", "account-")).toEqual([
      "account-1",
      "account-2",
      ":4",
    ]);
    expect(await completeByStore("version", "account:")).toEqual(["account:command-", ":6"]);
    expect(await completeByStore("read", "account", "--correlation=order")).toEqual([
      "order",
      "order:position",
      ":4",
    ]);
    expect(await complete("read", "order-")).toEqual([":4"]);
  });

  test("finds consumers, by their names or their streams", async () => {
    expect(await completeByStore("rewind", "")).toEqual(["letters", ":4"]);
    expect(await completeByStore("parked", "list", "order:")).toEqual([
      "order:position-letters",
      ":4",
    ]);
  });

  test("leaves files to the shell", async () => {
    expect(await complete("write-batch", "account-1", "")).toEqual([":0"]);
    expect(await complete("gateway", "--rules", "")).toEqual([":0"]);
  });

  test.each([
    { url: "postgres://127.0.0.1:1/nothing" },
    { url: "" },
    { url: "nonsense" },
  ])("says nothing of a store that is not there: %j", async (options) => {
    const run = await messagedb.run(["complete", "--", "read", ""], options);
    expect(run).toEqual({ stdout: ":4\n", stderr: "", exitCode: 0 });
  });
});

describe("completion", () => {
  test.each(["zsh", "fish", "powershell"])("prints a script for %s", async (shell) => {
    expect(await messagedb.print("completion", shell)).toMatch(/messagedb complete /);
  });

  test("refuses another shell", async () => {
    const { stderr, exitCode } = await messagedb.run(["completion", "csh"]);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/Allowed choices are bash, zsh, fish, powershell/);
  });

  test.skipIf(process.platform === "win32")("completes in bash", async () => {
    const folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const command = join(folder, "messagedb");
    await writeFile(command, `#!/bin/sh\nexec "${process.execPath}" "${messagedb.path}" "$@"\n`);
    await chmod(command, 0o755);
    await writeFile(
      join(folder, "tab.sh"),
      `eval "$(messagedb completion bash)"
      tab() {
        COMP_WORDS=(messagedb "$@") COMP_CWORD=$#
        _messagedb_complete 2> /dev/null
        echo "\${COMPREPLY[@]}"
      }
      tab read --fo
      tab read account : c
      tab completion ''
      tab read account --correlation = acc
      tab read '$(touch me)'
      tab read order-
      complete -p messagedb
      ls`,
    );
    const { stdout } = await promisify(execFile)("bash", ["tab.sh"], {
      cwd: folder,
      env: {
        ...process.env,
        DATABASE_URL: db.url,
        PATH: `${folder}${delimiter}${process.env["PATH"]}`,
      },
    });
    expect(stdout.split("\n")).toEqual([
      "--follow",
      "command",
      "bash zsh fish powershell",
      "account account:command",
      "",
      "",
      "complete -F _messagedb_complete messagedb",
      "messagedb",
      "tab.sh",
      "",
    ]);
  });
});
