/** A store of several databases: `--url` for each partition, `--partition` and `--partition-of`. */
import {
  drain,
  partitioned,
  type PartitionedSql,
  partitionFor,
  partitions,
} from "@messagedb/client";
import { readAll, streamVersion, write } from "@messagedb/client";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { install } from "../../src/database/install.ts";
import { storeStatus } from "../../src/operate/mod.ts";
import { createDatabase, type TestDatabase } from "../_server.ts";
import { until } from "../_until.ts";
import { type Run, useMessagedb } from "./_messagedb.ts";
import { writeAged } from "./_positions.ts";
import { startStudio } from "./_studio.ts";

const COUNT = 3;
const databases: TestDatabase[] = [];
let handles: postgres.Sql[];
let sql: PartitionedSql<postgres.Sql>;
let urls: string[];
/** Categories, each in the partition of its place. */
let names: string[];
let folder: string;

const messagedb = useMessagedb({
  get url() {
    // As a file of the environment may have them.
    return `\n  ${urls.join("\n  ")}\n`;
  },
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "messagedb-client-"));
  for (let number = 0; number < COUNT; number++) {
    databases.push(await createDatabase(inject("databaseOrigin")));
  }
  urls = databases.map(({ url }) => url);
  handles = urls.map((url) => postgres(url, { max: 4, fetch_types: false, onnotice: () => {} }));
  for (const [number, handle] of handles.entries()) {
    await install(handle, { partition: { number, of: COUNT } });
  }
  sql = partitioned(handles);
  const numberOf = (name: string) => partitions(sql).indexOf(partitionFor(sql, name));
  names = handles.map((_, wanted) => {
    for (let at = 0;; at++) if (numberOf(`category${at}`) === wanted) return `category${at}`;
  });
  for (const name of names) await write(sql, `${name}-1`, { type: "Opened" });
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
  await Promise.all(handles.map((it) => it.end({ timeout: 1 })));
  await Promise.all(databases.map((it) => it.drop()));
});

const failed = (text: string, exitCode: number): Run => ({
  stdout: "",
  stderr: `error: ${text}\n`,
  exitCode,
});

/** The address of a database, as it is printed. */
function addressOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `postgres://${host}${pathname}`;
}

test("what concerns one category is done in its partition, whichever option has the addresses", async () => {
  for (const [number, name] of names.entries()) {
    const asOptions = urls.flatMap((url) => ["--url", url]);
    expect(await messagedb.print("write", `${name}-w`, "Opened", ...asOptions)).toBe("0\n");
    expect(await streamVersion(handles[number]!, `${name}-w`)).toBe(0);
    expect(await messagedb.print("version", `${name}-w`)).toBe("0\n");
    expect(await messagedb.print("read", name)).toMatch(new RegExp(`^${name}-1 0 {2}Opened`));
    expect(await messagedb.print("streams", name)).toMatch(`${name}-w`);
    expect(await messagedb.print("types", name)).toMatch(/^Opened/m);
    const [{ id }] = await messagedb.json("last", `${name}-w`) as [{ id: string }];
    expect(await messagedb.print("get", id)).toMatch(`${name}-w 0`);
    expect(await messagedb.print("trace", id)).toMatch(`${name}-w 0`);
    expect(await messagedb.print("verify", name)).toMatch(/nothing is wrong\n$/);
  }
  const batch = await messagedb.run(["write-batch", `${names[2]}-b`, "-"], {
    stdin: '{"type":"A"}\n{"type":"B"}\n',
  });
  expect(batch).toMatchObject({ stdout: "1\n", exitCode: 0 });
});

test("what goes over all categories asks all partitions", async () => {
  const listed = await messagedb.json("categories") as { category: string }[];
  expect(listed.map(({ category }) => category)).toEqual([...names].sort());
  expect(await messagedb.print("verify")).toMatch(/nothing is wrong\n$/);
  const words = await messagedb.namesAfter("read", "category");
  for (const name of names) expect(words).toContain(`${name}\t`);
  const one = [...urls.flatMap((url) => ["--url", url]), "--partition", "1"];
  expect(await messagedb.namesAfter(...one, "read", "category"))
    .toBe(`${names[1]}\t\n:4\n`);
});

test("categories says which partition has the messages, of one that is misplaced too", async () => {
  const [misplaced] = names;
  await write(handles[1]!, `${misplaced}-misplaced`, { type: "Opened" });
  onTestFinished(async () => {
    await handles[1]!`
      delete from message_store.messages where stream_name = ${`${misplaced}-misplaced`}`;
  });
  const table = await messagedb.print("categories");
  expect(table).toMatch(/^category +partition +messages /);
  expect(table).toMatch(new RegExp(`^${misplaced} +0 +\\d[^]*^${misplaced} +1 +1 `, "m"));
  const listed = await messagedb.json("categories");
  for (const partition of [0, 1]) {
    expect(listed).toContainEqual(expect.objectContaining({ partition, category: misplaced }));
  }
  expect(await messagedb.print("categories", "--partition", "1")).not.toMatch("partition");
});

test("consumers are looked at, rewound, passed and removed in their partition", async () => {
  for (const name of names) {
    await write(sql, `${name}-c`, { type: "Failing" });
    await drain(sql, {
      category: name,
      consumerId: `of-${name}`,
      handle: ({ type }) => {
        if (type === "Failing") throw new Error("no address");
      },
      onError: "park",
    });
    await write(sql, `${name}-c`, { type: "Next" });
  }
  const found = await messagedb.json("consumers") as { category: string; behind: number }[];
  expect(found.map(({ category, behind }) => [category, behind]).sort())
    .toEqual(names.map((name) => [name, 1]).sort());
  expect(await messagedb.print("lag")).toMatch(/^MESSAGEDB OK/);
  const parked = await messagedb.json("parked", "list") as { consumer: string }[];
  expect(parked.map(({ consumer }) => consumer))
    .toEqual(names.map((name) => `${name}:position-of-${name}`));

  const consumer = `of-${names[2]}`;
  const [message] = await readAll(handles[2]!, { direction: "backward", batchSize: 1 });
  const { globalPosition } = message!;
  const skip = ["skip", consumer, String(globalPosition), "--reason", "it", "--yes"];
  expect(await messagedb.print(...skip)).toMatch(/^Skipped Next /);
  const [{ message: it }] = await messagedb.json("parked", "list", consumer) as [
    { message: { globalPosition: number } },
  ];
  const at = String(it.globalPosition);
  expect(await messagedb.print("parked", "show", consumer, at)).toMatch(/no address/);
  const module = join(folder, "handlers.mjs");
  await writeFile(module, "export default { Failing() {} };");
  expect(await messagedb.print("parked", "replay", consumer, at, "--module", module))
    .toBe("Replayed 1 message\n");
  expect(await messagedb.print("rewind", consumer, "--to", "beginning", "--yes"))
    .toMatch(/goes on at 1\n$/);
  expect(await messagedb.print("remove", consumer, "--yes")).toMatch(/^Removed/);
  expect(await messagedb.json("consumers", names[2]!)).toEqual([]);
});

test("a consumer of all messages is one of its partition", async () => {
  const [, second] = partitions(sql);
  const handle = () => {
    throw new Error("no address");
  };
  const everything = {
    category: "$all",
    consumerId: "everything",
    handle,
    onError: "park",
  } as const;
  await drain(second!, everything, { limit: 1 });
  const consumer = "$all:position-everything";
  expect(await messagedb.json("parked", "list"))
    .toContainEqual(expect.objectContaining({ partition: 1, consumer }));
  const table = await messagedb.print("parked", "list");
  expect(table).toMatch(/^consumer +partition +message /);
  expect(table).toMatch(/^\$all:position-everything +1 +#\d+ /m);
  const rewind = ["rewind", "everything", "--to", "beginning", "--yes"];
  const { stderr, exitCode } = await messagedb.run(rewind);
  expect(stderr).toMatch(/^error: Cannot do this with all partitions at once: .+ --partition N\n$/);
  expect(exitCode).toBe(2);
  expect(await messagedb.print(...rewind, "--partition", "1")).toMatch(/goes on at 1\n$/);
  expect(await messagedb.print("remove", "everything", "--yes", "--partition", "1"))
    .toMatch(/^Removed/);
});

test("the consumers of all messages of each partition are told apart", async () => {
  const streamName = "$all:position-everything";
  for (const [number, store] of partitions(sql).entries()) {
    await writeAged(
      store,
      { streamName: `${names[number]}-aged`, age: 60 },
      { streamName, type: "Recorded", data: { position: 0 }, age: 60 },
    );
  }
  onTestFinished(async () => {
    for (const store of handles) {
      await store`delete from message_store.messages where stream_name like ${`${streamName}%`}`;
    }
  });
  const { stdout, stderr } = await messagedb.run(["consumers"]);
  expect(stdout).toMatch(/^consumer +category +partition +health /);
  for (const number of names.keys()) {
    expect(stdout).toMatch(new RegExp(`^everything +\\$all +${number} +stopped `, "m"));
    expect(stderr).toMatch(`everything of $all in partition ${number} has stopped: `);
    expect(stderr).toMatch(`  messagedb doctor --partition ${number} `);
    const park = `park '$all:position-everything' --dry-run --partition ${number}`;
    expect(stderr).toMatch(`  messagedb ${park} `);
    const dry = await messagedb.run(park.replaceAll("'", "").split(" "));
    expect(dry.stderr).toMatch(/^everything of \$all meets this message next/);
  }
  const all = await messagedb.json("consumers") as { partition: number; category: string }[];
  expect(all.filter(({ category }) => category === "$all").map(({ partition }) => partition).sort())
    .toEqual([0, 1, 2]);

  const { stdout: line } = await messagedb.run(["lag"]);
  const labels = line.match(/'[^']+'=/g)!;
  expect(new Set(labels).size).toBe(labels.length);
  expect(labels).toContain(`'partition 2 ${streamName} age'=`);

  const one = await messagedb.run(["consumers", "--partition", "1"]);
  expect(one.stdout).not.toMatch("partition");
  expect(one.stderr).toMatch("park '$all:position-everything' --dry-run --partition 1 ");
});

test("all messages have an order in one partition alone, which --partition picks", async () => {
  const sentence = "Cannot do this with all partitions at once: each has an order of its own, " +
    "so do it for each, with --partition N";
  for (const command of [["read", "$all"], ["export", "$all"], ["types"], ["copy", "$all"]]) {
    const target = command[0] === "copy" ? ["--to", urls[0]!] : [];
    expect(await messagedb.run([...command, ...target])).toEqual(failed(sentence, 2));
  }
  for (const [number, handle] of handles.entries()) {
    const read = await messagedb.json("read", "$all", "--partition", String(number));
    expect(read).toHaveLength((await readAll(handle)).length);
  }
  const foreign = await messagedb.run(["read", names[0]!, "--partition", "1"]);
  expect(foreign).toEqual(failed(
    "Cannot do this with partition 1 of 3, which the handle or its transaction is of: " +
      `"${names[0]}" is in partition 0`,
    2,
  ));
});

test("an export of each partition is imported into the store of all", async () => {
  const copies: TestDatabase[] = [];
  for (let number = 0; number < 2; number++) {
    copies.push(await createDatabase(inject("databaseOrigin")));
  }
  onTestFinished(async () => {
    await Promise.all(copies.map((it) => it.drop()));
  });
  const url = copies.map((it) => it.url).join(" ");
  expect(await messagedb.run(["install"], { url })).toMatchObject({ exitCode: 0 });
  let count = 0;
  for (let number = 0; number < COUNT; number++) {
    const file = join(folder, `${number}.ndjson`);
    await messagedb.print("export", "$all", "--partition", String(number), "--output", file);
    count += (await readFile(file, "utf8")).split("\n").length - 1;
    expect(await messagedb.run(["import", file, "--omit-positions"], { url }))
      .toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Imported/) });
  }
  expect(count).toBeGreaterThan(COUNT);
  for (const name of names) {
    expect(await messagedb.run(["version", `${name}-1`], { url })).toMatchObject({ stdout: "0\n" });
  }
});

test("a category is copied out of its partition", async () => {
  const copy = await createDatabase(inject("databaseOrigin"));
  onTestFinished(() => copy.drop());
  const { stdout, exitCode } = await messagedb.run(["copy", names[1]!, "--to", copy.url]);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/the copy is the same\n$/);
  const several = await messagedb.run(["copy", names[1]!, "--to", `${copy.url} ${urls[0]}`]);
  expect(several.exitCode).toBe(2);
});

describe("one database after the other:", () => {
  test("install marks each with its number, and upgrade, doctor and uninstall go through all", async () => {
    const name = `made_${randomBytes(6).toString("hex")}`;
    const made = [0, 1].map((number) => {
      const url = new URL(urls[0]!);
      url.pathname = `/${name}_${number}`;
      return url.href;
    });
    onTestFinished(async () => {
      for (const number of [0, 1]) {
        await handles[0]!.unsafe(`drop database if exists ${name}_${number} with (force)`);
      }
    });
    const run = (...args: string[]) => messagedb.run(args, { url: made.join(" ") });
    const { stdout: script } = await run("install", "--create-database", "--dry-run");
    expect(script).toMatch(/^-- partition 0 of 2\ncreate database [^]+\n-- partition 1 of 2\n/);
    expect(script).toContain("is 'partition 1 of 2'");
    expect(await run("install", "--create-database")).toMatchObject({
      stdout: [0, 1].map((number) =>
        `partition ${number} of 2\n` +
        `Message DB 1.3.0 is installed in ${
          addressOf(made[number]!)
        }, in a database that was created\n`
      ).join(""),
      exitCode: 0,
    });
    const marks = [];
    for (const url of made) {
      const handle = postgres(url, { max: 1 });
      marks.push((await storeStatus(handle)).partition);
      await handle.end();
    }
    expect(marks).toEqual([{ number: 0, of: 2 }, { number: 1, of: 2 }]);
    expect((await run("upgrade")).stdout).toMatch(
      /^partition 0 of 2\n.+nothing was left to do\npartition 1 of 2\n.+nothing was left to do\n$/,
    );
    const doctor = await run("doctor");
    expect(doctor.stdout).toMatch(
      /^partition 0 of 2\n[^]+✓ partition +This database is partition 0 of 2\n[^]+\npartition 1 of 2\n[^]+This database is partition 1 of 2\n/,
    );
    expect((await run("uninstall", "--yes", "--partition", "1")).stdout)
      .toBe(`Message DB is dropped from ${addressOf(made[1]!)}, with no message\n`);
    const { stdout, stderr, exitCode } = await run("doctor");
    expect(exitCode).toBe(3);
    expect(stdout + stderr).toContain("has no Message DB");
  });

  test("a database that is another partition is not installed into, and those behind it wait", async () => {
    const url = [urls[0], urls[2], urls[1]].join(" ");
    const { stdout, stderr, exitCode } = await messagedb.run(["install"], { url });
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/^partition 0 of 3\n.+\npartition 1 of 3\n$/);
    expect(stderr).toMatch(/^error: Cannot mark this database as partition 1 of 3: /);
  });

  test("prune counts in each", async () => {
    const pruned = await messagedb.json("prune", "--dry-run") as { partition: number }[];
    expect(pruned.map(({ partition }) => partition)).toEqual([0, 1, 2]);
    expect(await messagedb.print("prune", "--yes")).toMatch(
      /^partition 0 of 3\n[^]+^partition 2 of 3\n/m,
    );
  });

  test("doctor looks at the rest where one does not answer, or is another partition", async () => {
    const [, second, third] = urls;
    const down = await messagedb.run(["doctor", "--json"], {
      url: `postgres://127.0.0.1:1/nothing ${third} ${second}`,
    });
    expect(down.exitCode).toBe(3);
    expect(down.stderr).toMatch(/^error: Cannot reach postgres:\/\/127.0.0.1:1\/nothing: /);
    const found = down.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    expect(new Set(found.map(({ partition }) => partition))).toEqual(new Set([0, 1, 2]));
    expect(found).toContainEqual({
      partition: 1,
      name: "partition",
      state: "error",
      text: "Cannot use this database as partition 1 of 3: it is partition 2 of 3",
      advice: "Give the addresses of all partitions in their order",
    });
  });
});

describe("a partition that is down", () => {
  test("fails what is its own alone, and what asks all", async () => {
    const url = `${urls[0]} ${urls[1]} postgres://127.0.0.1:1/nothing`;
    expect(await messagedb.run(["version", `${names[1]}-1`], { url })).toMatchObject({
      stdout: "0\n",
    });
    const text = "nothing listens there: is the server running? " +
      '"messagedb start" starts one';
    expect(await messagedb.run(["version", `${names[2]}-1`], { url }))
      .toEqual(failed(`Cannot reach partition 2 of 3: ${text}`, 3));
    const settle = await messagedb.run(["settle"], { url });
    expect(settle.stderr).toMatch(new RegExp(`error: Cannot reach partition 2 of 3: ${text[0]}`));
    expect(settle.exitCode).toBe(3);
    const consumers = await messagedb.run(["consumers"], { url });
    expect(consumers.exitCode).toBe(3);
    expect(consumers.stderr).toMatch(
      /^error: Cannot ask all 3 partitions: no answer of 2 \(Cannot reach partition 2 of 3: /,
    );
  });
});

test("addresses that are not those of the partitions in their order are refused", async () => {
  const swapped = `${urls[1]} ${urls[0]} ${urls[2]}`;
  expect(await messagedb.run(["version", `${names[0]}-1`], { url: swapped })).toEqual(
    failed("Cannot use this database as partition 0 of 3: it is partition 1 of 3", 3),
  );
  const plain = await createDatabase(inject("databaseOrigin"));
  onTestFinished(() => plain.drop());
  expect(await messagedb.run(["categories"], { url: `${plain.url} ${plain.url}` })).toEqual(failed(
    "Cannot use this database as partition 0 of 2: it is not marked, which " +
      '"messagedb install" with the addresses of all partitions does',
    3,
  ));
});

describe("the address of one partition alone", () => {
  const advice =
    "give the addresses of all partitions in their order, and --partition-of if your " +
    "programs have a partitionOf";
  const place = (at: number) =>
    `"${names[at]}" is in partition ${at} by its hash, and this database is partition 1 of 3`;
  const clean = () =>
    onTestFinished(async () => {
      await handles[1]!`delete from message_store.messages where stream_name like '%-alone'`;
    });

  test("takes no write to a category of another partition", async () => {
    const [, url] = urls;
    const stream = `${names[0]}-alone`;
    const refusal = `Cannot write here: ${place(0)}: ${advice}`;
    expect(await messagedb.run(["write", stream, "Opened"], { url })).toEqual(failed(refusal, 2));
    const stdin = '{"type":"A"}\n';
    expect(await messagedb.run(["write-batch", stream, "-"], { url, stdin }))
      .toEqual(failed(refusal, 2));
    const lines = [names[1], names[0]].map((name) => ({
      id: crypto.randomUUID(),
      streamName: `${name}-alone`,
      type: "Opened",
      time: new Date(),
    }));
    clean();
    const file = { url, stdin: lines.map((line) => `${JSON.stringify(line)}\n`).join("") };
    const checked = await messagedb.run(["import", "-", "--dry-run"], file);
    expect(checked).toMatchObject({
      stdout: `line 2: ${refusal}\n1 line cannot be imported\n` +
        "1 message of 1 stream: 1 to write, 0 already there\n",
      exitCode: 1,
    });
    const imported = await messagedb.run(["import", "-"], file);
    expect(imported.stderr).toMatch(refusal);
    expect(imported.exitCode).toBe(1);
    expect(await streamVersion(handles[1]!, stream)).toBe(-1);
  });

  test("takes no copy of a category of another partition", async () => {
    const copying = ["copy", names[0]!, "--to", urls[1]!];
    for (const options of [[], ["--dry-run"]]) {
      expect(await messagedb.run([...copying, ...options])).toMatchObject({
        stderr: expect.stringContaining(`error: Cannot write here: ${place(0)}: ${advice}`),
        exitCode: 1,
      });
    }
    expect(await streamVersion(handles[1]!, `${names[0]}-1`)).toBe(-1);
  });

  test("takes a copy of the same partition, whatever is in it", async () => {
    const other = await createDatabase(inject("databaseOrigin"));
    onTestFinished(() => other.drop());
    const copy = postgres(other.url, { max: 1, onnotice: () => {} });
    onTestFinished(() => copy.end());
    await install(copy, { partition: { number: 1, of: COUNT } });
    clean();
    const misplaced = `${names[0]}-alone`;
    await write(handles[1]!, misplaced, { type: "Opened" });
    const copying = ["copy", "$all", "--to", other.url];
    const { exitCode, stderr } = await messagedb.run([...copying, "--partition", "1"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(await streamVersion(copy, misplaced)).toBe(0);
    expect((await messagedb.run(copying, { url: urls[1]! })).exitCode).toBe(0);
  });

  test("takes writes to its own, and reads of all that is there", async () => {
    const [, url] = urls;
    clean();
    const own = await messagedb.run(["write", `${names[1]}-alone`, "Opened"], { url });
    expect(own).toEqual({ stdout: "0\n", stderr: "", exitCode: 0 });
    const all = await messagedb.run(["write", "$all:alone-alone", "Opened"], { url });
    expect(all).toEqual({ stdout: "0\n", stderr: "", exitCode: 0 });
    await write(handles[1]!, `${names[0]}-alone`, { type: "Opened" });
    const read = await messagedb.run(["version", `${names[0]}-alone`], { url });
    expect(read).toEqual({ stdout: "0\n", stderr: "", exitCode: 0 });
  });

  test("warns of a write to a category that it has, which a partitionOf may have put there", async () => {
    const [, url] = urls;
    clean();
    await write(handles[1]!, `${names[0]}-alone`, { type: "Opened" });
    expect(await messagedb.run(["write", `${names[0]}-alone`, "Opened"], { url })).toEqual({
      stdout: "1\n",
      stderr: `warning: ${place(0)}. It has messages of "${names[0]}" already, so it is ` +
        `written here. To be sure, ${advice}\n`,
      exitCode: 0,
    });
  });
});

test.each([
  [["--partition", "3"], () => urls, /^There is no partition 3: .* partitions 0 to 2$/],
  [["--partition", "0"], () => [urls[0]!], /^There is one address, and --partition is /],
  [["--partition-of", "x.mjs"], () => [urls[0]!], /^There is one address, and --partition-of is /],
  [["--partition-of", "x.mjs"], () => urls, /^Cannot read the module "x.mjs": /],
  [[], () => [...urls, "http://127.0.0.1:1"], /^Cannot do this over the gateway /],
  [[], () => [...urls, "postgres://u:hunter2@h", "h"], /^What --url or DATABASE_URL holds is no /],
])("%j is refused", async (options, addresses, sentence) => {
  const url = addresses().join(" ");
  const { stderr, exitCode } = await messagedb.run(["version", "a-1", ...options], { url });
  expect(exitCode).toBe(2);
  expect(stderr.replace(/^error: |\n$/g, "")).toMatch(sentence);
  expect(stderr).not.toContain("hunter2");
});

test("bench writes to no store of partitions", async () => {
  const { stderr, exitCode } = await messagedb.run(["bench", "--yes", "--partition", "1"]);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/^error: The bench writes to categories of its own/);
});

test("a module says where the categories of a program are, and has to be a function", async () => {
  const module = join(folder, "partition_of.mjs");
  await writeFile(module, `export default (category) => category === "${names[0]}" ? 2 : 1;`);
  expect(await messagedb.print("write", `${names[0]}-own`, "Opened", "--partition-of", module))
    .toBe("0\n");
  expect(await streamVersion(handles[2]!, `${names[0]}-own`)).toBe(0);
  await handles[2]!`delete from message_store.messages where stream_name = ${`${names[0]}-own`}`;
  await writeFile(module, "export default 7;");
  const wrong = await messagedb.run(["categories", "--partition-of", module]);
  expect(wrong.exitCode).toBe(2);
  expect(wrong.stderr).toMatch(/^error: .*"partitionOf"/);
});

test("a gateway serves all partitions under one address", async () => {
  const child = messagedb.start(["gateway", "--port", "0", "--allow", "read"]);
  for await (const url of createInterface({ input: child.stdout! })) {
    for (const name of names) {
      expect((await messagedb.run(["version", `${name}-1`], { url })).stdout).toBe("0\n");
    }
    child.kill("SIGINT");
  }
});

test("a studio shows all partitions, or the one that is picked", async () => {
  const all = await startStudio(messagedb);
  expect(await (await all.ask("open")).json()).toMatchObject({ partitions: COUNT });
  for (const source of names) {
    const given = { source, direction: "forward", limit: 1 };
    const found = await (await all.ask("findMessages", given)).json();
    expect(found).toMatchObject({ messages: [{ streamName: `${source}-1` }] });
  }
  const refused = await all.ask("findMessages", { source: "$all" });
  expect([refused.status, (await refused.json()).code]).toEqual([422, "PARTITION"]);
  const one = await startStudio(messagedb, ["--partition", "1"]);
  expect(await (await one.ask("open")).json()).toMatchObject({ partitions: 1 });
  expect((await one.ask("findMessages", { source: "$all" })).status).toBe(200);
});

test("settle records in each partition, until Ctrl-C", async () => {
  const settled = (handle: postgres.Sql) => streamVersion(handle, "$all:settled-all");
  const child = messagedb.start(["settle", "--interval", "10ms"]);
  let stderr = "";
  child.stderr!.on("data", (text) => stderr += text);
  const closed = new Promise((resolve) => child.on("close", resolve));
  for (const handle of handles) await until(async () => await settled(handle) >= 0);
  child.kill("SIGINT");
  expect(await closed).toBe(0);
  expect(stderr).toBe(
    `Records what is settled at ${
      addressOf(urls[0]!)
    } and 2 more partitions, at most every 10 ms, ` +
      "until Ctrl-C\n",
  );
});
