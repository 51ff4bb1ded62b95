import { gateway } from "@messagedb/client/gateway";
import { execFile } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { drain, type Message, readAll, readCategory, write, writeBatch } from "../../mod.ts";
import { serve } from "../_serve.ts";
import { until } from "../_until.ts";
import { type Database, useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const from = useDatabase();
const to = useDatabase();
const messagedb = useMessagedb(from);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function fileOf(content: string | Uint8Array, name = "given.ndjson"): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

/** Writes messages to the first store that make more than a page, and empties the second one. */
async function fill(count: number): Promise<void> {
  for (const { sql } of [from, to]) await sql`truncate message_store.messages restart identity`;
  await from.sql`
    insert into message_store.messages (stream_name, position, type, data, metadata, time)
    select
      name, row_number() over (partition by name order by at) - 1, 'Deposited', jsonb_build_object('amount', at, 'note', e'\\u2028 é "' || repeat('x', 40)),
      jsonb_build_object('userId', at % 5),
      timestamp '2020-01-01' + at * interval '1.5 seconds'
    from
      generate_series(0, ${count - 1}::int) as at,
      lateral (
        select case when at % 1000 = 0 then 'letter-1' else 'account-' || at % 7 end as name
      ) as named
    order by at`;
}

/** What is in a store, but for positions of consumers: how many messages, and a digest of all of them. */
async function contentOf({ sql }: Database): Promise<unknown> {
  const [row] = await sql`
    select
      count(*)::int,
      md5(string_agg(
        md5(concat_ws('|', id, stream_name, position, type, data, metadata, time)), ''
        order by stream_name, position
      )) as digest
    from message_store.messages
    where stream_name !~~ '%:position-%'`;
  return { ...row };
}

async function countOfCopy(): Promise<number> {
  const [row] = await to.sql<{ count: number }[]>`
    select count(*)::int from message_store.messages`;
  return row!.count;
}

const letters = { category: "letter", consumerId: "letters" };

/** Calls while a transaction is open, which has taken the position behind 17 messages; 78 are behind a gap. */
async function whileHeldBack(check: () => Promise<void>): Promise<void> {
  await fill(17);
  const writer = from.connect({ max: 1 });
  const rollback = new Error("roll back");
  const transaction = writer.begin(async (tx) => {
    await write(tx, "open-1", { type: "Written" });
    await writeBatch(
      from.sql,
      "later-1",
      Array.from({ length: 78 }, (_, at) => ({ type: "Written", data: { at } })),
    );
    await check();
    throw rollback;
  });
  await expect(transaction).rejects.toBe(rollback);
}

const HELD_BACK =
  'because a transaction that is open may write before them: "messagedb doctor" shows it';

async function drainLetters(database: Database, limit?: number): Promise<number[]> {
  const handled: number[] = [];
  const handle = ({ position }: Message) => void handled.push(position);
  await drain(database.sql, { ...letters, handle }, { limit });
  return handled;
}

/** The most memory that a program has had, in megabytes. */
async function peakOf({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1000;
}

const endOf = (child: ChildProcess) =>
  new Promise<number | null>((resolve) => child.on("close", resolve));

test.skipIf(process.platform !== "linux")(
  "300,000 lines of export flow into import with flat memory, and consumers go on in an equal store",
  async () => {
    const count = 300_000;
    await fill(count);
    const before = await drainLetters(from, 200);
    const exporting = messagedb.start(["export", "$all"]);
    const importing = messagedb.start(["import", "-"], { url: to.url, stdin: null });
    const [notes, answer] = [text(exporting.stderr!), text(importing.stdout!)];
    const peaks: number[][] = [];
    let lines = 0;
    for await (const piece of exporting.stdout as AsyncIterable<Buffer>) {
      for (const byte of piece) if (byte === 10) lines++;
      // The export has more to print than fits between the programs, so both are still there.
      if (lines >= 50_000 + 100_000 * peaks.length) {
        peaks.push(await Promise.all([exporting, importing].map(peakOf)));
      }
      if (!importing.stdin!.write(piece)) {
        await new Promise((resolve) => importing.stdin!.once("drain", resolve));
      }
    }
    importing.stdin!.end();
    expect(await answer).toBe("Imported 300,002 messages, 300,002 written\n");
    expect(await notes).toBe("Exported 300,002 messages, up to the global position 300002\n");
    expect(peaks).toHaveLength(3);
    for (const program of [0, 1]) {
      expect(peaks[2]![program]! - peaks[0]![program]!).toBeLessThan(40);
    }
    expect(await contentOf(to)).toEqual(await contentOf(from));
    const rest = await drainLetters(to);
    expect([...before, ...rest]).toEqual(Array.from({ length: 300 }, (_, at) => at));
    expect(await drainLetters(from)).toEqual(rest);
  },
);

/** Starts an import, and gives it the first half of the lines. */
async function startHalf(lines: readonly string[]): Promise<ChildProcess> {
  const importing = messagedb.start(["import", "-"], { url: to.url, stdin: null });
  importing.stdin!.write(lines.slice(0, lines.length / 2).join(""));
  await until(async () => await countOfCopy() >= 2000);
  return importing;
}

async function exportLines(): Promise<string[]> {
  return (await messagedb.print("export", "$all")).split(/(?<=\n)/);
}

describe("import", () => {
  test("killed in the middle, and done again, makes an equal store; a third time it writes nothing", async () => {
    await fill(6000);
    await drainLetters(from, 3);
    const lines = await exportLines();
    const importing = await startHalf(lines);
    const ended = endOf(importing);
    importing.kill("SIGKILL");
    await ended;
    expect(await countOfCopy()).toBeLessThan(lines.length);
    const file = await fileOf(lines.join(""));
    const again = await messagedb.run(["import", file], { url: to.url });
    expect(again).toMatchObject({ exitCode: 0, stderr: "" });
    expect(again.stdout).toMatch(/^Imported 6,00\d messages, \d,\d+ written, \d,\d+ skipped\n$/);
    expect(await contentOf(to)).toEqual(await contentOf(from));
    expect(await drainLetters(to)).toEqual([3, 4, 5]);
    const third = await messagedb.run(["import", file, "--json"], { url: to.url });
    expect(JSON.parse(third.stdout)).toEqual({ count: lines.length, written: 0 });
  });

  test("says at Ctrl-C how far it got, and exits with 130", async () => {
    await fill(6000);
    const importing = await startHalf(await exportLines());
    const notes = text(importing.stderr!);
    const ended = endOf(importing);
    importing.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(await notes).toMatch(
      /^The import is not whole: \d,000 messages, \d,000 written\. Run the command again: it skips what is there, and goes on\n$/,
    );
    expect(await notes).toContain(`${(await countOfCopy()).toLocaleString("en-US")} written`);
  });

  test("writes positions of consumers, or leaves them out", async () => {
    await fill(3000);
    await drainLetters(from, 2);
    const file = await fileOf((await exportLines()).join(""));
    await messagedb.run(["import", file, "--omit-positions"], { url: to.url });
    expect(await countOfCopy()).toBe(3000);
    expect(await drainLetters(to)).toEqual([0, 1, 2]);
  });

  test("over a gateway, as export does", async () => {
    await fill(1500);
    const handle = (sql: Database["sql"]) => serve(gateway(sql, { authorize: () => true }));
    const exported = await messagedb.run(["export", "account"], { url: await handle(from.sql) });
    const url = await handle(to.sql);
    const imported = await messagedb.run(["import", "-"], { url, stdin: exported.stdout });
    expect(imported).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await readCategory(to.sql, "account", { batchSize: 2000 })).toHaveLength(1498);
  });
});

describe("a broken file", () => {
  const line = (at: number, more: object = {}) =>
    `${
      JSON.stringify({
        id: `00000000-0000-4000-8000-${String(at).padStart(12, "0")}`,
        streamName: "account-1",
        type: "Deposited",
        ...more,
      })
    }\n`;
  const thousand = Array.from({ length: 1000 }, (_, at) => line(at)).join("");

  beforeEach(() => fill(0));

  test("is told of by the line, blank ones counted, and how far the import got", async () => {
    const file = await fileOf(`\n${thousand}\n${line(1001)}{"id":\n${line(1002)}`);
    const { exitCode, stdout, stderr } = await messagedb.run(["import", file], { url: to.url });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(
      /^The import is not whole: 1,000 messages, 1,000 written\. .+\nerror: Cannot import line 1004: it is not JSON: [^\n]+\n$/,
    );
    expect(stderr).not.toContain("middle");
    expect(await countOfCopy()).toBe(1000);
  });

  test("is checked to the end by --dry-run, which writes nothing", async () => {
    await write(to.sql, "other-1", { type: "Taken", id: JSON.parse(line(1)).id });
    await write(to.sql, "account-1", { type: "Deposited", id: JSON.parse(line(2)).id });
    const file = await fileOf(
      `${line(1)}\n${line(2)}[]\n${line(3, { type: 7 })}${line(4, { streamName: "b-1" })}{"id":"7`,
    );
    const run = await messagedb.run(["import", file, "--dry-run"], { url: to.url });
    expect(run).toMatchObject({ exitCode: 1, stderr: "" });
    expect(run.stdout.split("\n")).toEqual([
      'line 1: the stream "other-1" has a message of the id "00000000-0000-4000-8000-000000000001"',
      expect.stringMatching(/^line 4: Cannot use \[\] as "message"/),
      expect.stringMatching(/^line 5: Cannot use 7 as "type"/),
      expect.stringMatching(
        /^line 7: it is not JSON: .+: the file ends in the middle of this line/,
      ),
      "4 lines cannot be imported",
      "2 messages of 2 streams: 1 to write, 1 already there",
      "",
    ]);
    const { stdout } = await messagedb.run(["import", file, "--dry-run", "--json"], {
      url: to.url,
    });
    expect(JSON.parse(stdout)).toMatchObject({
      messages: 2,
      streams: 2,
      known: 1,
      missing: 1,
      brokenCount: 4,
      broken: [{ line: 1 }, { line: 4 }, { line: 5 }, { line: 7 }],
    });
    expect(await countOfCopy()).toBe(2);
  });

  test.each<[string, string | Uint8Array, number, RegExp]>([
    [
      "cut",
      `${line(1)}${line(2).slice(0, 50)}`,
      1,
      /line 2: .+ middle of this line, so it is not whole/,
    ],
    ["empty", "", 2, /is empty: an export that failed leaves that/],
    ["compressed", gzipSync(line(1)), 2, /is compressed: run gunzip -c .+ \| messagedb import -\n/],
    [
      "UTF-16",
      Buffer.from(`\ufeff${line(1)}`, "utf16le"),
      2,
      /is UTF-16, as a PowerShell writes it/,
    ],
    ["not UTF-8", Buffer.from([123, 10, 200, 10]), 1, /Line 2 of .+ is not UTF-8 text|line 1: /],
    ["CSV", "id,type\n1,2\n", 1, /Cannot import line 1: it is not JSON/],
    ["other JSON", '{"amount":1}\n', 1, /Cannot import line 1: .+"streamName"/],
  ])("that is %s is refused with a sentence", async (_, content, exitCode, sentence) => {
    const run = await messagedb.run(["import", await fileOf(content)], { url: to.url });
    expect(run).toMatchObject({ stdout: "", exitCode });
    expect(run.stderr).toMatch(/^(Nothing was imported\n)?error: .+\n$/);
    expect(run.stderr).toMatch(sentence);
    expect(await countOfCopy()).toBe(0);
  });

  test("has a last line without an end, and a mark of UTF-8, and is whole", async () => {
    const file = await fileOf(`\ufeff${line(1)}${line(2).trim()}`);
    const { stdout } = await messagedb.run(["import", file], { url: to.url });
    expect(stdout).toBe("Imported 2 messages, 2 written\n");
  });

  test.each([
    ["nowhere.ndjson", "there is no such file"],
    [".", "it is a folder"],
  ])("%s is refused: %s", async (path, problem) => {
    const run = await messagedb.run(["import", path], { url: to.url, cwd: folder });
    expect(run).toEqual({
      stdout: "",
      stderr: `error: Cannot read the file "${path}": ${problem}\n`,
      exitCode: 2,
    });
  });
});

describe("export", () => {
  const run = (...args: string[]) => messagedb.run(["export", ...args], { cwd: folder });

  test("prints the messages that are selected, from a position on", async () => {
    await fill(2100);
    const linesOf = async (...args: string[]) =>
      (await messagedb.print("export", ...args)).split("\n").filter(Boolean)
        .map((line) => JSON.parse(line));
    expect(await linesOf("letter")).toEqual(
      JSON.parse(JSON.stringify(await readCategory(from.sql, "letter"))),
    );
    expect((await linesOf("letter-1", "--from", "2")).map(({ position }) => position)).toEqual([2]);
    expect((await linesOf("$all", "--from", "2099")).map((it) => it.globalPosition))
      .toEqual([2099, 2100]);
    expect(await linesOf("none")).toEqual([]);
  });

  test("gives a file its name once it is whole, and goes on with one that is cut", async () => {
    await fill(2100);
    const whole = await run("$all", "--output", "whole.ndjson", "--json");
    expect(whole.exitCode).toBe(0);
    expect(JSON.parse(whole.stdout)).toEqual({ count: 2100, globalPosition: 2100, isWhole: true });
    const content = await readFile(join(folder, "whole.ndjson"));
    await fileOf(content.subarray(0, 100_000), "cut.ndjson.part");
    const refused = await run("$all", "--output", "cut.ndjson");
    expect(refused).toMatchObject({ stdout: "", exitCode: 2 });
    expect(refused.stderr).toMatch(/^error: .+ go on with --resume, or delete it\n$/);
    expect(await run("$all", "--output", "cut.ndjson", "--resume")).toMatchObject({ exitCode: 0 });
    expect(await readFile(join(folder, "cut.ndjson"))).toEqual(content);
    const again = await run("$all", "--output", "cut.ndjson");
    expect(again).toMatchObject({ stdout: "", exitCode: 2 });
    expect(again.stderr).toMatch(/is there already/);
  });

  test("fails where an open transaction holds messages back, keeps the part, and goes on after it", async () => {
    const cut = "17 messages, up to the global position 17. When it has ended, go on with";
    const notes = `Later messages are not exported, ${HELD_BACK}\nThe export is not whole: `;
    await whileHeldBack(async () => {
      const messages = await readAll(from.sql);
      await fileOf(messages.map((it) => `${JSON.stringify(it)}\n`).join(""), "cut2.ndjson.part");
      const [file, resumed, printed, none, later] = await Promise.all([
        run("$all", "--output", "held.ndjson", "--json"),
        run("$all", "--output", "cut2.ndjson", "--resume"),
        run("$all"),
        run("$all", "--from", "18", "--output", "none.ndjson"),
        run("later", "--output", "later.ndjson", "--json"),
      ]);
      expect(file).toMatchObject({
        exitCode: 1,
        stderr: `${notes}${cut}: messagedb export '$all' --output held.ndjson --resume\n`,
      });
      expect(JSON.parse(file.stdout)).toEqual({ count: 17, globalPosition: 17, isWhole: false });
      expect(resumed).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/0 messages\. .+ --output cut2\.ndjson --resume\n$/),
      });
      expect(printed).toMatchObject({
        exitCode: 1,
        stderr: `${notes}${cut}: messagedb export '$all' --from 18 >> FILE\n`,
      });
      expect(printed.stdout.trimEnd().split("\n")).toHaveLength(17);
      expect(none).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/export '\$all' --from 18 --output none\.ndjson\n$/),
      });
      expect(later.exitCode).toBe(0);
      expect(JSON.parse(later.stdout)).toEqual({ count: 78, globalPosition: 96, isWhole: true });
      const files = await readdir(folder);
      expect(files).toEqual(expect.arrayContaining(["held.ndjson.part", "cut2.ndjson.part"]));
      for (const name of ["held.ndjson", "cut2.ndjson", "none.ndjson", "none.ndjson.part"]) {
        expect(files).not.toContain(name);
      }
    });
    expect(await run("$all", "--output", "held.ndjson", "--resume")).toMatchObject({ exitCode: 0 });
    const lines = (await readFile(join(folder, "held.ndjson"), "utf8")).trimEnd().split("\n");
    expect(lines).toHaveLength(95);
  });

  test("is whole though others write meanwhile, and one of them is open at the end", async () => {
    await fill(6000);
    const exporting = messagedb.start(["export", "$all"]);
    const notes = text(exporting.stderr!);
    const ended = endOf(exporting);
    // Nobody reads on until the others have written, so the export waits.
    await new Promise((resolve) => exporting.stdout!.once("readable", resolve));
    await write(from.sql, "later-1", { type: "Written" });
    const rollback = new Error("roll back");
    const transaction = from.connect({ max: 1 }).begin(async (tx) => {
      await write(tx, "open-1", { type: "Written" });
      await write(from.sql, "later-1", { type: "Written" });
      exporting.stdout!.resume();
      expect(await ended).toBe(0);
      throw rollback;
    });
    await expect(transaction).rejects.toBe(rollback);
    expect(await notes).toBe("Exported 6,001 messages, up to the global position 6001\n");
  });

  test("does not go on with a file of something else", async () => {
    await fill(10);
    for (const content of [await messagedb.print("export", "letter"), "{\n"]) {
      await fileOf(content, "other.ndjson.part");
      const { exitCode, stderr } = await run("account", "--output", "other.ndjson", "--resume");
      expect(exitCode).toBeGreaterThan(0);
      expect(stderr).toMatch(/^error: The last .+: delete the file, and export anew\n$/);
      expect(await readFile(join(folder, "other.ndjson.part"), "utf8")).toBe(content);
    }
  });

  test("says at Ctrl-C how to go on, and ends at the end of a line", async () => {
    await fill(6000);
    const exporting = messagedb.start(["export", "$all"]);
    const notes = text(exporting.stderr!);
    const ended = endOf(exporting);
    let printed = "";
    // Nobody reads on until the signal is sent, so the export waits.
    await new Promise((resolve) => exporting.stdout!.once("readable", resolve));
    exporting.kill("SIGINT");
    for await (const piece of exporting.stdout!) printed += piece;
    expect(await ended).toBe(130);
    const last = JSON.parse(printed.trimEnd().split("\n").at(-1)!).globalPosition;
    expect(printed.endsWith("\n")).toBe(true);
    expect(await notes).toMatch(
      new RegExp(`The export is not whole: .+ --from ${last + 1} >> FILE\n$`),
    );
    const rest = await messagedb.print("export", "$all", "--from", String(last + 1));
    expect((printed + rest).trimEnd().split("\n")).toHaveLength(6000);
  });

  test("fails where its output goes nowhere", async () => {
    await fill(3000);
    const exporting = messagedb.start(["export", "$all"]);
    const notes = text(exporting.stderr!);
    exporting.stdout!.once("data", () => exporting.stdout!.destroy());
    expect(await endOf(exporting)).toBe(1);
    expect(await notes).toMatch(
      /^error: Cannot write to standard output: nobody reads it any more\. .+: export again\n$/,
    );
  });

  test.skipIf(process.platform !== "linux")("fails where the disk is full", async () => {
    await fill(3000);
    const command = `"${process.execPath}" "${messagedb.path}" export '$all' > /dev/full`;
    const env = { ...process.env, DATABASE_URL: from.url };
    const failed = promisify(execFile)("sh", ["-c", command], { env });
    await expect(failed).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: Cannot write to standard output: the disk is full/),
    });
  });

  test.each([
    [["$all", "--resume"], /--output/],
    [["$all", "--resume", "--output", "x", "--from", "1"], /give no --from/],
    [["$all", "--resume", "--output", "nothing"], /nothing\.part": there is no such file/],
    [["$all", "--output", "no/where"], /there is no such file/],
    [["$all", "--from", "x"], /from 0 up/],
    [["", "--output", "unnamed"], /selection/],
  ])("refuses %j with exit code 2, and leaves no file", async (args, sentence) => {
    const before = await readdir(folder);
    const refused = await run(...args);
    expect(refused).toMatchObject({ stdout: "", exitCode: 2 });
    expect(refused.stderr).toMatch(sentence);
    expect(await readdir(folder)).toEqual(before);
  });
});

describe("copy", () => {
  const second = useDatabase();
  const third = useDatabase();
  const copy = (...args: string[]) => messagedb.run(["copy", ...args, "--to", to.url]);

  test("copies, compares, and tells how consumers stand; again it writes nothing", async () => {
    await fill(3000);
    await drainLetters(from, 2);
    const dry = await copy("$all", "--dry-run");
    expect(dry).toMatchObject({ exitCode: 0, stderr: "" });
    expect(dry.stdout).toMatch(/^3,00\d messages: 3,00\d to write, 0 already there\n$/);
    expect(await countOfCopy()).toBe(0);
    const first = await copy("$all");
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(first.stdout.split("\n")).toEqual([
      expect.stringMatching(/^Copied (3,00\d) messages, \1 written$/),
      expect.stringMatching(/^Compared 3,00\d messages: the copy is the same$/),
      "",
      "consumer                 behind here  behind in the copy",
      "letter:position-letters            1                   1",
      "",
    ]);
    expect(await contentOf(to)).toEqual(await contentOf(from));
    const again = JSON.parse((await copy("$all", "--json")).stdout);
    expect(again).toEqual({
      count: again.count,
      written: 0,
      isWhole: true,
      compared: again.count,
      differenceCount: 0,
      differences: [],
      consumers: [{ streamName: "letter:position-letters", behind: 1, behindInCopy: 1 }],
    });
    expect(await drainLetters(to)).toEqual([2]);
  });

  test("finds what is missing, changed or added in the copy, and exits with 1", async () => {
    await fill(20);
    await copy("account");
    await to
      .sql`delete from message_store.messages where stream_name = 'account-3' and position = 1`;
    await to.sql`
      update message_store.messages set data = '{}' where stream_name = 'account-4' and position = 0`;
    await write(to.sql, "account-5", { type: "Doubled" });
    const dry = await copy("account", "--dry-run");
    expect(dry).toMatchObject({ exitCode: 1, stderr: "" });
    expect(dry.stdout).toMatch(
      /^changed .+"account-4" at position 0, has another data in the copy\nadded .+"account-5" at position 3, is in the copy, and not in the source\n19 messages: 1 to write, 18 already there\n$/,
    );
    const run = await copy("account");
    expect(run).toMatchObject({ exitCode: 1, stderr: "" });
    expect(run.stdout).toMatch(/^Copied 19 messages, 1 written, 18 skipped\n/);
    // The message that was missing is behind the others now.
    expect(run.stdout).toMatch(/changed .+"account-3" at position 1, has another position/);
    expect(run.stdout).toMatch(/\nCompared 19 messages: \d differences\n$/);
  });

  test("fails where an open transaction holds messages back, and copies them after it", async () => {
    const stderr =
      `Later messages are not copied, ${HELD_BACK}. Run the command again when it has ended\n`;
    await whileHeldBack(async () => {
      const [dry, dryJson, run, json] = await Promise.all([
        copy("$all", "--dry-run"),
        copy("$all", "--dry-run", "--json"),
        messagedb.run(["copy", "$all", "--to", second.url]),
        messagedb.run(["copy", "$all", "--json", "--to", third.url]),
      ]);
      expect(dry).toEqual({
        exitCode: 1,
        stderr,
        stdout: "17 messages: 17 to write, 0 already there\n",
      });
      expect(run).toEqual({
        exitCode: 1,
        stderr,
        stdout: "Copied 17 messages, 17 written\n" +
          "Compared 17 messages: the same, but the copy is not whole\n",
      });
      for (const { exitCode, stdout, stderr: told } of [dryJson, json]) {
        expect({ exitCode, told }).toEqual({ exitCode: 1, told: stderr });
        expect(JSON.parse(stdout))
          .toMatchObject({ isWhole: false, compared: 17, differenceCount: 0 });
      }
      expect(await copy("later")).toMatchObject({ exitCode: 0, stderr: "" });
    });
    const again = await messagedb.run(["copy", "$all", "--to", second.url]);
    expect(again.stdout).toMatch(/^Copied 95 messages, 78 written, .+\nCompared 95 .+ same\n$/);
    expect(again).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("is whole though others write meanwhile, and one of them is open at the end", async () => {
    await fill(3000);
    const other = to.connect({ max: 1 });
    let copying: ReturnType<typeof copy>;
    const rollback = new Error("roll back");
    const transaction = from.connect({ max: 1 }).begin(async (tx) => {
      await other.begin(async (lock) => {
        // The import cannot write until the others have written.
        await lock`lock table message_store.messages in exclusive mode`;
        copying = copy("$all", "--json");
        await until(async () => {
          const waiting = await to.sql`
            select from pg_locks where not granted and relation = 'message_store.messages'::regclass`;
          return waiting.length > 0;
        });
        await write(tx, "open-1", { type: "Written" });
        await write(from.sql, "later-1", { type: "Written" });
      });
      const { stdout, stderr, exitCode } = await copying;
      expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
      expect(JSON.parse(stdout)).toMatchObject({ isWhole: true, compared: 3000 });
      throw rollback;
    });
    await expect(transaction).rejects.toBe(rollback);
  });

  test("copies a stream", async () => {
    await fill(20);
    expect((await copy("account-3")).stdout).toMatch(/^Copied 3 messages, 3 written\nCompared 3 /);
    expect((await readAll(to.sql)).map(({ streamName }) => streamName))
      .toEqual(["account-3", "account-3", "account-3"]);
  });

  test("refuses the store itself, by another address too, and one that is not there or has no Message DB", async () => {
    await fill(1);
    const other = new URL(from.url);
    other.searchParams.set("application_name", "other");
    const empty = new URL(from.url);
    empty.pathname = "/template1";
    const run = (url: URL | string) => messagedb.run(["copy", "$all", "--to", String(url)]);
    expect(await run(other)).toMatchObject({
      exitCode: 2,
      stderr: expect.stringMatching(
        /^error: .+ is the store itself: give another one with --to or --to-schema\n$/,
      ),
    });
    expect(await run(empty)).toMatchObject({
      exitCode: 3,
      stderr: expect.stringMatching(
        /has no Message DB: run "messagedb install --url .+\/template1"\n$/,
      ),
    });
    expect(await run("postgres://127.0.0.1:1/x")).toMatchObject({
      exitCode: 3,
      stderr: expect.stringMatching(/^error: The store to copy to: Cannot reach postgres:\/\//),
    });
    expect(await messagedb.run(["copy", "$all"])).toMatchObject({ exitCode: 2, stdout: "" });
  });
});

describe("verify", () => {
  test("finds nothing wrong", async () => {
    await fill(20);
    expect(await messagedb.print("verify")).toBe("Verified 20 messages: nothing is wrong\n");
    expect(await messagedb.print("verify", "letter")).toBe(
      "Verified 1 message: nothing is wrong\n",
    );
    expect(await messagedb.print("verify", "$all", "--from", "11"))
      .toBe("Verified 10 messages: nothing is wrong\n");
    expect(await messagedb.json("verify")).toEqual([]);
  });

  test("reports what is wrong, and exits with 1", async () => {
    await fill(20);
    await from
      .sql`delete from message_store.messages where stream_name = 'account-3' and position = 1`;
    const run = await messagedb.run(["verify"]);
    expect(run).toMatchObject({ exitCode: 1, stderr: "" });
    expect(run.stdout).toMatch(
      /^(deleted|gap) +"account-3" has no messages at the positions 1 to 1.+\nVerified 19 messages: 1 (deleted|gap)\n$/,
    );
    const { stdout, exitCode } = await messagedb.run(["verify", "--json"]);
    expect(exitCode).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ streamName: "account-3", text: expect.any(String) });
    expect(await messagedb.run(["verify", "account-3"])).toMatchObject({ exitCode: 2, stdout: "" });
  });
});
