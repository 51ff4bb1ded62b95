import { append, drain, type Message, readStream } from "@messagedb/client";
import { type ConsumerIdentity, parked } from "@messagedb/client/operate";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);

/** A consumer that has parked all messages that it met. */
async function parkSome(category: string, count = 3): Promise<ConsumerIdentity> {
  for (let at = 0; at < count; at++) {
    await append(db.sql, `${category}-${at}`, {
      type: at === 2 ? "Closed" : "Opened",
      data: { at },
    });
  }
  const letters = { category, consumerId: "letters" };
  const handle = ({ data }: Message<{ at: number }>) => {
    throw new Error(`no address\nof ${data.at} \x1b[31m`);
  };
  await drain(db.sql, { ...letters, handle, onError: { retry: 1, delay: 1, then: "park" } });
  return letters;
}

const placesOf = async (category: string) =>
  await Promise.all([0, 1, 2].map(async (at) => {
    const [message] = await readStream(db.sql, `${category}-${at}`);
    return message!;
  }));

/** A module of JavaScript, with this text. */
async function writeModule(text: string): Promise<string> {
  const path = join(tmpdir(), `${crypto.randomUUID()}.mjs`);
  await writeFile(path, text);
  return path;
}

const RECORDING = `
import { appendFileSync } from "node:fs";
const record = ({ streamName }) => appendFileSync(process.env.RECORD, streamName + " ");
`;

describe("parked list and show", () => {
  test("print what is parked, and why", async () => {
    const letters = await parkSome("shown");
    const [first] = await placesOf("shown");
    const list = await messagedb.run(["parked", "list", "shown:position-letters"]);
    expect(list.stdout).toMatch(
      /^consumer +message +type +stream +tries +parked +why\nshown:position-letters +#\d+ +Opened +shown-0 0 +2 .* ago +no address\n/,
    );
    expect(list.stderr)
      .toBe(`\nmessagedb parked show shown:position-letters ${first!.globalPosition}\n`);
    const json = await messagedb.json("parked", "list");
    const own = JSON.parse(JSON.stringify(await parked(db.sql, letters)));
    expect(json).toEqual(own.map((it: object) => ({ consumer: "shown:position-letters", ...it })));

    const shown = await messagedb.print("parked", "show", "letters", String(first!.globalPosition));
    expect(shown).toMatch(
      /^shown-0 0 {2}Opened {2}#\d+ .*\n {2}{"at":0}\nparked {4}\d{4}-.*Z \(.* ago\)\nattempts {2}2\nerror {5}Error: no address\n {10}of 0 \\x1b\[31m\n$/,
    );
    const [value] = await messagedb.json("parked", "show", "letters", first!.id);
    expect(value).toMatchObject({ attempts: 2, message: { id: first!.id, data: { at: 0 } } });
  });

  test("say so if nothing is parked, or not that message", async () => {
    await drain(db.sql, { category: "shown", consumerId: "other", handle() {} });
    expect(await messagedb.run(["parked", "list", "other"]))
      .toMatchObject({ exitCode: 0, stderr: "No message is parked.\n" });
    expect(await messagedb.run(["parked", "show", "letters", "999999"])).toEqual({
      stdout: "",
      stderr: 'error: Message 999999 is not parked: "messagedb parked list" prints what is\n',
      exitCode: 1,
    });
    const help = await messagedb.run(["parked"]);
    expect(help.exitCode).toBe(2);
    expect(help.stderr).toContain("replay [options] <consumer> [messages...]");
  });
});

describe("parked discard", () => {
  test("discards what is named, or all, and says beforehand what", async () => {
    const letters = await parkSome("discarded");
    const [first] = await placesOf("discarded");
    const discard = ["parked", "discard", "discarded:position-letters"];
    const reason = ["--reason", "the account is closed"];
    const dry = await messagedb.run([...discard, first!.id, "--dry-run"]);
    expect(dry).toEqual({
      stdout: `Opened discarded-0 0 (#${first!.globalPosition})\n`,
      stderr: "1 message would be discarded. None was.\n",
      exitCode: 0,
    });
    const asked = await messagedb.run([...discard, "--all", ...reason]);
    expect(asked.exitCode).toBe(2);
    expect(asked.stderr).toContain(
      "Discard 3 messages, which letters of discarded then never handles?",
    );
    expect(await messagedb.json(...discard, String(first!.globalPosition), ...reason, "--yes"))
      .toEqual([{ discarded: 1 }]);
    expect(await messagedb.print(...discard, "--all", ...reason, "--yes"))
      .toBe("Discarded 2 messages\n");
    expect(await parked(db.sql, letters)).toEqual([]);
    const kept = await readStream<{ reason?: string }>(db.sql, "discarded:parked-letters");
    expect(kept.at(-1)!.data.reason).toBe("the account is closed");
  });

  test("needs messages or --all, and a reason", async () => {
    const run = async (...args: string[]) =>
      (await messagedb.run(["parked", "discard", "shown:position-letters", ...args])).stderr;
    const both = "error: Name the messages to discard, or give --all\n";
    expect(await run("--reason", "x")).toBe(both);
    expect(await run("1", "--all", "--reason", "x")).toBe(both);
    expect(await run("--all"))
      .toBe('error: Say why: --reason "…". It is kept with the messages\n');
  });
});

describe("parked replay", () => {
  test("handles what is parked with the handlers of a module", async () => {
    await parkSome("replayed");
    const [, second] = await placesOf("replayed");
    const record = join(tmpdir(), crypto.randomUUID());
    const env = { RECORD: record };
    await writeFile(record, "");
    const replay = ["parked", "replay", "replayed:position-letters"];
    const handler = await writeModule(`${RECORDING} export default record;`);
    const byType = await writeModule(`${RECORDING} export default { Closed: record };`);
    // A timer that is left behind does not keep the command.
    const consumer = await writeModule(`
      ${RECORDING}
      setInterval(() => {}, 1000);
      export default { category: "replayed", consumerId: "letters", handlers: { Opened: record } };`);

    const dry = await messagedb.run([
      ...replay,
      "--module",
      handler,
      "--type",
      "Opened",
      "--dry-run",
    ]);
    expect(dry.stdout).toMatch(/^Opened replayed-0 0 .*\nOpened replayed-1 0 .*\n$/);
    expect(dry.stderr).toBe("2 messages would be handled. None was.\n");
    const runs = [
      [...replay, second!.id, "--module", handler],
      [...replay, "--module", byType, "--type", "Closed", "--json"],
      [...replay, "--module", consumer],
    ];
    const printed: string[] = [];
    for (const args of runs) printed.push((await messagedb.run(args, { env })).stdout);
    expect(printed).toEqual([
      "Replayed 1 message\n",
      '{"replayed":1,"parked":0,"busy":false}\n',
      "Replayed 1 message\n",
    ]);
    expect(await readFile(record, "utf8")).toBe("replayed-1 replayed-2 replayed-0 ");
  });

  test("ends with the sentence of a handler that fails, and parks again if the consumer says so", async () => {
    const letters = await parkSome("failing");
    const replay = ["parked", "replay", "failing:position-letters", "--module"];
    const failing = "handle() { throw new Error('still no address'); }";
    const stopping = await messagedb.run([
      ...replay,
      await writeModule(`setInterval(() => {}, 1000); export default { ${failing} };`),
    ]);
    expect(stopping.exitCode).toBe(1);
    expect(stopping.stderr).toMatch(/^error: .*still no address\n$/);
    const leaving = await messagedb.run([
      ...replay,
      await writeModule(`export default { handle(_, { sql }) {
        sql\`select pg_catalog.pg_sleep(60)\`.catch(() => {});
        throw new Error("left a statement");
      } };`),
    ]);
    expect(leaving.exitCode, "a statement that the handler left is not waited for").toBe(1);
    expect(leaving.stderr).toMatch(/^error: .*left a statement\n$/);
    const parking = await writeModule(`export default { ${failing}, onError: "park" };`);
    expect(await messagedb.print(...replay, parking))
      .toBe("Replayed 3 messages, of which 3 failed again\n");
    expect(await parked(db.sql, letters)).toHaveLength(3);
  });

  test("refuses a module that it cannot use", async () => {
    const run = async (path: string) => {
      const replay = ["parked", "replay", "shown:position-letters", "--module", path];
      const { stderr, exitCode } = await messagedb.run(replay);
      return [exitCode, stderr.replaceAll(path, "FILE")];
    };
    const texts = [
      "export default 5;",
      "export default {};",
      'export default { consumerId: "other", handle() {} };',
      'throw new Error("no configuration");',
      "export const handle = () => {};",
    ];
    const modules = await Promise.all(texts.map(writeModule));
    const useless = 'error: The default export of "FILE" is no consumer, no handler, ' +
      "and no object of handlers by type\n";
    expect(await Promise.all(["./none.mjs", ...modules].map(run))).toEqual([
      [2, 'error: Cannot read the module "FILE": there is no such file\n'],
      [2, useless],
      [2, useless],
      [2, 'error: The module "FILE" is of another consumer: its consumerId is "other"\n'],
      [2, 'error: Cannot load the module "FILE": no configuration\n'],
      [2, useless],
    ]);
  });
});
