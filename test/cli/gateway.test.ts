import { readStream, streamVersion, write } from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { useDatabase } from "../database.ts";
import { type RunOptions, useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);

beforeAll(async () => {
  await write(db.sql, "account-1", { type: "Opened" });
  await write(db.sql, "order-1", { type: "Placed" });
});

interface Started {
  readonly child: ChildProcess;
  readonly url: string;
  /** What it has said on standard error by now. */
  readonly notes: () => string;
}

async function start(args: readonly string[], options?: RunOptions): Promise<Started> {
  const child = messagedb.start(["gateway", "--port", "0", ...args], options);
  let notes = "";
  child.stderr!.on("data", (text) => notes += text);
  for await (const line of createInterface({ input: child.stdout! })) {
    return { child, url: line, notes: () => notes };
  }
  throw new Error(`The gateway did not start: ${notes}`);
}

async function stop({ child }: Started): Promise<number | null> {
  const ended = once(child, "close");
  child.kill("SIGINT");
  const [exitCode] = await ended;
  return exitCode;
}

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

describe("gateway", () => {
  test("lets in who has the token, and tells nobody the token", async () => {
    const started = await start(["--token", "s3cret"]);
    const { url } = started;
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const sql = fetchSql(`${url}/sql`, bearer("s3cret"));
    expect(await write(sql, "visit-1", { type: "Came" })).toBe(0);
    expect(await readStream(sql, "visit-1")).toMatchObject([{ type: "Came" }]);
    for (const init of [{}, bearer("s3cre"), bearer("s3cret1"), bearer("")]) {
      expect((await fetch(`${url}/messages`, init)).status).toBe(403);
    }
    expect(await stop(started)).toBe(0);
    expect(started.notes()).toMatch(
      /^Serves .+\. Who has the token may do everything\.\nTry: curl -H .+\/messages\?batchSize=3'\nEnds .+\.\n$/,
    );
    expect(started.notes()).not.toContain("s3cret");
  });

  test("serves messagedb itself, with the token in the environment of both", async () => {
    const { url } = await start([], { env: { MESSAGEDB_TOKEN: "s3cret" } });
    const read = (env: Record<string, string>) =>
      messagedb.run(["read", "account", "--json"], { url, env });
    const { stdout, exitCode } = await read({ MESSAGEDB_TOKEN: "s3cret" });
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ streamName: "account-1", type: "Opened" });
    expect((await read({})).stderr).toMatch(/403/);
  });

  test("allows without a token what --allow names, and nothing else", async () => {
    const { url } = await start(["--allow", "read:account", "--allow", "write:visit"]);
    const sql = fetchSql(`${url}/sql`);
    expect(await readStream(sql, "account-1")).toHaveLength(1);
    const { stdout } = await messagedb.run(["version", "account-1"], { url });
    expect(stdout).toBe("0\n");
    const before = await streamVersion(db.sql, "visit-2");
    expect(await write(sql, "visit-2", { type: "Came" })).toBe(before + 1);
    for (
      const refused of [
        () => write(sql, "account-1", { type: "Closed" }),
        () => readStream(sql, "visit-2"),
        () => readStream(sql, "account:position-1"),
      ]
    ) {
      await expect(refused()).rejects.toMatchObject({ status: 403 });
    }
    expect((await fetch(`${url}/messages`)).status).toBe(403);
    expect(await streamVersion(db.sql, "account-1")).toBe(0);
  });

  test("ends live reads at Ctrl-C, and exits with 0", async () => {
    const started = await start(["--allow", "read", "--base-path", "/events", "--json"]);
    const { url } = JSON.parse(started.url);
    const headers = { accept: "text/event-stream" };
    const { body } = await fetch(`${url}/categories/order/messages`, { headers });
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes("Placed")) text += (await reader.read()).value;
    expect(await stop(started)).toBe(0);
    while (!(await reader.read()).done);
  });

  test("asks the rules of a module, and shares with the origins of --cors", async () => {
    const folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await writeFile(
      join(folder, "rules.mjs"),
      `export default ({ headers }, { writes, category }) =>
        category === "order" && (!writes || headers.get("x-clerk") === "yes");`,
    );
    await writeFile(join(folder, "none.mjs"), "export const authorize = () => true;");
    const origin = "https://app.example.com";
    const { url } = await start(["--rules", "rules.mjs", "--cors", origin], { cwd: folder });
    const path = `${url}/streams/order-1/messages`;
    const response = await fetch(path, { headers: { origin } });
    expect(response.headers.get("access-control-allow-origin")).toBe(origin);
    expect(await response.json()).toMatchObject({ messages: [{ type: "Placed" }] });
    const post = { method: "POST", body: '{"type":"Paid"}' };
    const type = { "content-type": "application/json" };
    expect((await fetch(path, { ...post, headers: type })).status).toBe(403);
    expect((await fetch(path, { ...post, headers: { ...type, "x-clerk": "yes" } })).status)
      .toBe(201);
    const run = await messagedb.run(["gateway", "--rules", "none.mjs"], { cwd: folder });
    expect(run).toMatchObject({ stdout: "", exitCode: 2 });
    expect(run.stderr).toMatch(/default export has to be a function authorize\(request, call\)\n$/);
  });

  test.each([
    [[], 2, /^error: No rule lets anybody in: give --token TOKEN/],
    [["--token", ""], 2, /^error: The token is empty/],
    [["--allow", "reed"], 2, /^error: "reed" is nothing to allow: give read, write/],
    [["--allow", "read:account-1"], 2, /^error: "read:account-1" is nothing to allow/],
    [["--rules", "no.mjs"], 2, /^error: Cannot read the module "no.mjs": there is no such file/],
    [["--rules", "no.mjs", "--allow", "read"], 2, /^error: --rules decides alone/],
    [["--allow", "read", "--base-path", "events"], 2, /^error: .*basePath/],
    [["--allow", "read", "--port", "65536"], 2, /whole number from 0 up to 65535\.\n/],
    [["--allow", "read", "--host", "192.0.2.1"], 1, /no such address: give another --host\n$/],
  ])("refuses %j with exit code %i", async (args, exitCode, sentence) => {
    const run = await messagedb.run(["gateway", ...args]);
    expect(run).toMatchObject({ stdout: "", exitCode });
    expect(run.stderr).toMatch(sentence);
  });

  test("says that a port is taken", async () => {
    const { url } = await start(["--allow", "read"]);
    const { port } = new URL(url);
    const run = await messagedb.run(["gateway", "--allow", "read", "--port", port]);
    expect(run).toEqual({
      stdout: "",
      stderr: `error: Cannot listen on 127.0.0.1:${port}: another program listens there: ` +
        "give another --port\n",
      exitCode: 1,
    });
  });
});
