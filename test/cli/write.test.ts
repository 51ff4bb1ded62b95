import { readMessage, readStream, streamVersion } from "@messagedb/client";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);
const ID = "0d6b3a6e-1c5f-4d2e-9f5d-2a7c1d9e8f01";
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileOf(text: string): Promise<string> {
  const path = join(folder, "given");
  await writeFile(path, text);
  return path;
}

describe("write", () => {
  test("prints the position of the message", async () => {
    expect(await messagedb.print("write", "account-1", "Opened")).toBe("0\n");
    expect(await messagedb.print("write", "account-1", "Deposited", '{"amount":11}')).toBe("1\n");
    expect(await messagedb.json("write", "account-1", "Closed")).toEqual([{ position: 2 }]);
    const messages = await readStream(db.sql, "account-1");
    expect(messages.map(({ type, data }) => [type, data]))
      .toEqual([["Opened", null], ["Deposited", { amount: 11 }], ["Closed", null]]);
  });

  test("takes data from standard input, and metadata from a file", async () => {
    const metadata = await fileOf('{"userId":"u1"}\n');
    const args = ["write", "account-2", "Deposited", "-", "--metadata", `@${metadata}`];
    const { exitCode } = await messagedb.run(args, { stdin: '{"amount":12}' });
    expect(exitCode).toBe(0);
    expect(await readStream(db.sql, "account-2"))
      .toMatchObject([{ data: { amount: 12 }, metadata: { userId: "u1" } }]);
  });

  test("writes a message of one id once", async () => {
    const args = ["write", "account-3", "Opened", "--id", ID, "--expected-version", "-1"];
    expect(await messagedb.print(...args)).toBe("0\n");
    expect(await messagedb.print(...args)).toBe("0\n");
    expect(await readMessage(db.sql, ID)).toMatchObject({ streamName: "account-3", position: 0 });
    expect(await streamVersion(db.sql, "account-3")).toBe(0);
  });

  test("expects a stream that exists", async () => {
    const expected = ["--expected-version", "exists"];
    const refused = await messagedb.run(["write", "account-9", "Closed", ...expected]);
    expect(refused).toMatchObject({ stdout: "", exitCode: 1 });
    expect(refused.stderr).toMatch(/at expected version STREAM_EXISTS: the stream has no message/);
    await messagedb.print("write", "account-9", "Opened");
    expect(await messagedb.print("write", "account-9", "Closed", ...expected)).toBe("1\n");
    const file = await fileOf('{"type":"Reopened"}\n');
    expect(await messagedb.print("write-batch", "account-9", file, ...expected)).toBe("2\n");
  });

  test.each([
    [
      ["account-4", "Opened", "--expected-version", "4"],
      'Cannot write to stream "account-4" at expected version 4: the stream has no message',
      1,
    ],
    [["account-4", "Opened", "{amount: 1}"], /^The data is no JSON: .+/, 2],
    [
      ["account-4", "Opened", "@nowhere.json"],
      'Cannot read the file "nowhere.json": there is no such file',
      2,
    ],
    [
      ["account-4", "Opened", "-", "--metadata", "-"],
      "Standard input holds the data or the metadata, not both",
      2,
    ],
    [["account-4", "Opened", "--metadata", "3"], /metadata/, 2],
    [["account-4", "Opened", "--id", "7"], /"7".+UUID/, 2],
    [["", "Opened"], /streamName/, 2],
  ])("refuses %j", async (args, sentence, exitCode) => {
    const run = await messagedb.run(["write", ...args]);
    expect(run).toMatchObject({ stdout: "", exitCode });
    expect(run.stderr).toMatch(/^error: .+\n$/);
    expect(run.stderr.slice("error: ".length, -1)).toEqual(
      typeof sentence === "string" ? sentence : expect.stringMatching(sentence),
    );
    expect(await streamVersion(db.sql, "account-4")).toBe(-1);
  });
});

describe("write-batch", () => {
  const LINES =
    '{"type":"Opened"}\n\n{"type":"Deposited","data":{"amount":1},"metadata":{"a":1}}\n';

  test("writes the lines of a file together, and prints the last position", async () => {
    expect(await messagedb.print("write-batch", "account-5", await fileOf(LINES))).toBe("1\n");
    expect(await readStream(db.sql, "account-5")).toMatchObject([
      { type: "Opened", data: null, metadata: null },
      { type: "Deposited", data: { amount: 1 }, metadata: { a: 1 } },
    ]);
  });

  test("writes what read --json printed to another stream, once", async () => {
    await messagedb.print("write-batch", "account-6", await fileOf(LINES));
    const { stdout } = await messagedb.run(["read", "account-6", "--json"]);
    const lines = stdout.replaceAll(/"id":"[^"]+",/g, "");
    const args = ["write-batch", "account-7", "-", "--json"];
    const { stdout: answer } = await messagedb.run(args, { stdin: lines });
    expect(JSON.parse(answer)).toEqual({ position: 1, count: 2 });
    const written = await readStream(db.sql, "account-7");
    expect(written.map(({ type, data, metadata }) => ({ type, data, metadata }))).toEqual(
      (await readStream(db.sql, "account-6"))
        .map(({ type, data, metadata }) => ({ type, data, metadata })),
    );
  });

  test.each([
    [`${LINES}{"type":"Broken"`, /^Cannot read line 4 of .+: .+: nothing was written$/, 2],
    ['{"type":"Opened"}\n{"kind":"Opened"}', /^Cannot read line 2 of .+"type": nothing/, 2],
    ["\n", /has no messages/, 2],
    ['{"type":"Opened","id":"7"}', /"7".+UUID/, 2],
  ])("writes nothing of %j", async (text, sentence, exitCode) => {
    const run = await messagedb.run(["write-batch", "account-8", await fileOf(text)]);
    expect(run).toMatchObject({ stdout: "", exitCode });
    expect(run.stderr.slice("error: ".length, -1)).toMatch(sentence);
    expect(await streamVersion(db.sql, "account-8")).toBe(-1);
  });
});
