import {
  append,
  drain,
  HandlerFailedError,
  type Message,
  readStream,
  writeBatch,
} from "@messagedb/client";
import { consumers } from "@messagedb/client/operate";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";
import { writeAged, writeBehind } from "./_positions.ts";

const db = useDatabase();
const empty = useDatabase();
const messagedb = useMessagedb(db);

const NOTHING_CHANGED = "Nothing was changed.\n";
const TO_PARK = 'Nothing was changed: to park it, give --reason "…"\n';

test("a consumer that a message has stopped is found, and gets past the message", async () => {
  await writeBehind(db.sql, "runbook", "letters");
  const handled: unknown[] = [];
  const letters = {
    category: "runbook",
    consumerId: "letters",
    handle({ data }: Message<{ at: number }>) {
      if (data.at === 1) throw new Error("no address");
      handled.push(data.at);
    },
  };
  await expect(drain(db.sql, letters)).rejects.toThrow(HandlerFailedError);

  const check = ["lag", "runbook", "--critical-age", "5m"];
  const alert = await messagedb.run(check);
  expect(alert.exitCode).toBe(2);
  expect(alert.stdout).toMatch(
    /^MESSAGEDB CRITICAL - letters of runbook is stopped, 2 behind, oldest 1 h( \d+ s)?\|/,
  );

  const { stdout, stderr } = await messagedb.run(["consumers", "runbook"]);
  expect(stdout).toMatch(/^letters +runbook +stopped +2 +1 h/m);
  expect(stderr).toMatch(
    /^letters of runbook has stopped: .*, and no process holds it\. Start it/m,
  );
  expect(stderr).toContain("  messagedb park runbook:position-letters --dry-run");

  const dry = await messagedb.run(["park", "runbook:position-letters", "--dry-run"]);
  expect(dry.stdout).toMatch(/^runbook-1 0 {2}Opened {2}#\d+ .*\n {2}{"at":1}\n$/);
  expect(dry.stderr).toBe(`letters of runbook meets this message next. ${TO_PARK}`);
  await expect(drain(db.sql, letters)).rejects.toThrow(HandlerFailedError);

  const park = ["park", "letters", "--reason", "no address yet", "--yes"];
  expect(await messagedb.run(park)).toEqual({
    stdout: expect.stringMatching(
      /^Parked Opened runbook-1 0 \(#\d+\): letters of runbook goes on after it\n$/,
    ),
    stderr: "No process holds it: start it.\n",
    exitCode: 0,
  });
  await drain(db.sql, letters);
  expect(handled).toEqual([2]);

  const end = await messagedb.run(check);
  expect(end.stdout).toMatch(/^MESSAGEDB OK - no message waits for the consumer\|/);
  expect(end.exitCode).toBe(0);
  expect((await messagedb.run(["consumers", "runbook"])).stderr).toBe(
    "\nletters of runbook has parked 1 message.\n" +
      "  messagedb parked list runbook:position-letters              # which, and why\n",
  );

  const module = join(tmpdir(), `${crypto.randomUUID()}.mjs`);
  await writeFile(module, "export default () => {};\n");
  expect(await messagedb.print("parked", "replay", "letters", "--module", module))
    .toBe("Replayed 1 message\n");
  expect(await messagedb.run(["parked", "list", "letters"]))
    .toMatchObject({ stderr: "No message is parked.\n", exitCode: 0 });
});

describe("consumers", () => {
  test("puts trouble on top, and prints the library's own values with --json", async () => {
    const owner = crypto.randomUUID();
    const held = { owner, leaseDuration: 10_000_000, answers: false };
    await writeBehind(db.sql, "trouble", "gone", { count: 1 });
    await writeBehind(db.sql, "trouble", "stopped", { age: 20 });
    await writeBehind(db.sql, "trouble", "stuck", { age: 10, metadata: held });
    await drain(db.sql, { category: "trouble", consumerId: "idle", handle() {} });
    const { stdout, stderr } = await messagedb.run(["consumers", "trouble"]);
    const [titles, ...lines] = stdout.trimEnd().split("\n");
    expect(titles!.split(/ {2,}/)).toEqual(
      "consumer category health behind oldest position head moved owner parked".split(" "),
    );
    expect(lines.map((line) => line.split(/ +/).slice(0, 3))).toEqual([
      ["stuck", "trouble", "stuck"],
      ["gone", "trouble", "stopped"],
      ["stopped", "trouble", "stopped"],
      ["idle", "trouble", "idle"],
    ]);
    expect(lines[0]).toContain(owner.slice(0, 8));
    expect(stderr).toMatch(/^stuck of trouble is stuck: .* process that has held it for \d+ min/m);
    expect(stderr).not.toContain("doctor");
    const json = await messagedb.json("consumers", "trouble") as { streamName: string }[];
    const own = JSON.parse(JSON.stringify(await consumers(db.sql, { category: "trouble" })));
    const withoutAge = ({ oldestAge: _, ...it }: Record<string, unknown>) => it;
    expect(json.map(withoutAge).sort((a, b) => a["streamName"]! < b["streamName"]! ? -1 : 1))
      .toEqual(own.map(withoutAge));
  });

  test("says to wait where another process has asked for the position", async () => {
    const held = { owner: crypto.randomUUID(), leaseDuration: 10_000_000, answers: true } as const;
    await writeBehind(db.sql, "asked", "it", { metadata: held });
    expect((await messagedb.run(["consumers", "asked"])).stderr)
      .toMatch(/ does not get on\. If that process is gone, start it\.$/m);
    const question = { type: "Claimed", data: { version: 0, owner: crypto.randomUUID() } };
    await append(db.sql, "asked:claim-it", question);
    expect((await messagedb.run(["consumers", "asked"])).stderr).toMatch(
      / does not get on\. Another process has asked for it, and takes over within 30 s if that process is gone\.$/m,
    );
  });

  test("shows members, and what a terminal must not get is written out", async () => {
    await writeBatch(db.sql, "grouped-1", [{ type: "A" }]);
    const group = { category: "grouped", consumerId: "\x1b[31mred", handle() {} };
    for (const member of [0, 1]) {
      await drain(db.sql, { ...group, consumerGroup: { member, size: 2 } });
    }
    const { stdout } = await messagedb.run(["consumers", "grouped"]);
    expect(stdout).toMatch(/^\\x1b\[31mred +grouped +[01] of 2 +idle/m);
  });

  test("says what to do about five in trouble, and once about all that is parked", async () => {
    for (const at of [1, 2, 3, 4, 5, 6, 7]) await writeBehind(db.sql, "hinted", `it${at}`);
    const fail = () => Promise.reject(new Error("no paper"));
    for (const consumerId of ["one", "two"]) {
      const parking = { category: "hinted", consumerId, onError: "park" } as const;
      await drain(db.sql, { ...parking, handle: fail });
    }
    const { stderr } = await messagedb.run(["consumers", "hinted"]);
    expect(stderr.match(/has stopped/g)).toHaveLength(5);
    expect(stderr).toMatch(
      /\n\n… and 2 more\n\n2 consumers have parked messages: {2}messagedb parked list\n$/,
    );
    expect((await messagedb.run(["consumers"])).stderr)
      .toMatch(/^… and \d+ more: {2}messagedb consumers CATEGORY$/m);
  });

  test("says so if there are none", async () => {
    expect(await messagedb.run(["consumers", "unknown"]))
      .toMatchObject({
        stderr: 'No consumer of "unknown" has stored a position.\n',
        exitCode: 0,
      });
  });

  test("--watch prints again and again, without control characters, until Ctrl-C", async () => {
    await writeBehind(db.sql, "watched", "it");
    const child = messagedb.start(["consumers", "watched", "--watch"]);
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout! })) {
      lines.push(line);
      if (lines.length === 5) child.kill("SIGINT");
    }
    if (child.exitCode === null) await once(child, "exit");
    expect(child.exitCode).toBe(0);
    expect(lines[0]).toMatch(/^consumer /);
    expect(lines[3]).toBe(lines[0]);
    // deno-lint-ignore no-control-regex
    expect(lines.join("")).not.toMatch(/[\x00-\x1f]/);
  });

  test("--watch --json prints a line for each consumer, with the time", async () => {
    const child = messagedb.start(["consumers", "watched", "--watch", "--json"]);
    const [line] = await once(createInterface({ input: child.stdout! }), "line");
    child.kill("SIGINT");
    await once(child, "exit");
    expect(child.exitCode).toBe(0);
    const { time, streamName, behind } = JSON.parse(line);
    expect(time).toMatch(/^\d{4}-.*Z$/);
    expect({ streamName, behind }).toEqual({ streamName: "watched:position-it", behind: 2 });
  });
});

describe("lag", () => {
  test("tells by the exit code whether more wait than the limits say", async () => {
    await writeBehind(db.sql, "lagging", "it's", { count: 4 });
    const code = async (...limits: string[]) =>
      (await messagedb.run(["lag", "lagging", ...limits])).exitCode;
    expect(
      await Promise.all([
        code(),
        code("--warn", "3", "--critical", "4"),
        code("--warn", "2", "--critical", "3"),
        code("--critical", "2"),
        code("--warn-age", "59m", "--critical-age", "2h"),
        code("--warn", "0", "--critical-age", "59m"),
      ]),
    ).toEqual([0, 0, 1, 2, 1, 2]);
  });

  test("prints performance data as monitoring plugins do", async () => {
    const limits = ["--warn", "2", "--critical", "10000", "--critical-age", "2h"];
    const { stdout } = await messagedb.run(["lag", "lagging", ...limits]);
    expect(stdout).toMatch(
      /^MESSAGEDB WARNING - it's of lagging is stopped, 3 behind, oldest 1 h( \d+ s)?\|'lagging:position-it''s'=3;2;10000;0 'lagging:position-it''s age'=36\d\ds;;7200;0 'lagging:position-it''s parked'=0;;;0\n$/,
    );
  });

  test("counts more than consumers() does by itself", async () => {
    await writeBehind(db.sql, "far", "it", { count: 2 });
    const many = Array.from({ length: 10_500 }, () => ({ type: "A" }));
    await writeBatch(db.sql, "far-1", many);
    const { stdout, exitCode } = await messagedb.run([
      "lag",
      "far",
      "--critical",
      "10500",
      "--json",
    ]);
    expect(exitCode).toBe(2);
    const { state, text, consumers } = JSON.parse(stdout);
    expect(state).toBe("CRITICAL");
    expect(text).toMatch(/^it of far is \w+, 10,501 behind, oldest 1 h/);
    expect(consumers[0]).toMatchObject({ streamName: "far:position-it", behind: 10_501 });
    expect((await messagedb.run(["lag", "far", "--critical", "10501"])).exitCode).toBe(0);
  });

  test("alerts on a consumer that is stuck or has stopped, and on parked messages", async () => {
    await writeBehind(db.sql, "alerted", "dead");
    const fail = () => Promise.reject(new Error("no paper"));
    const printer = { category: "alerted", consumerId: "printer", onError: "park" } as const;
    await drain(db.sql, { ...printer, handle: fail });
    const lag = async (...limits: string[]) => {
      const { stdout, exitCode } = await messagedb.run(["lag", "alerted", ...limits]);
      return [exitCode, stdout.replaceAll(/( \d+ s)?\|.*\n| min| h/g, "")];
    };
    const stopped = "dead of alerted is stopped, 2 behind, oldest 1";
    const parked = "printer of alerted is idle, 3 parked";
    expect(
      await Promise.all([
        lag(),
        lag("--warn-parked", "3"),
        lag("--warn-parked", "2"),
        lag("--critical-stuck", "--warn-parked", "0"),
      ]),
    ).toEqual([
      [0, `MESSAGEDB OK - ${stopped}`],
      [0, `MESSAGEDB OK - ${stopped}`],
      [1, `MESSAGEDB WARNING - ${parked}`],
      [2, `MESSAGEDB CRITICAL - ${stopped}; ${parked}`],
    ]);
    expect((await messagedb.run(["lag", "alerted", "--warn-parked", "2"])).stdout)
      .toMatch(/ 'alerted:position-printer parked'=3;2;;0\n$/);
  });

  test("names the worst first, and then the one that waits longest", async () => {
    await writeAged(
      db.sql,
      { streamName: "worst-1", type: "Older", age: 90 },
      ...["a", "b", "c"].map((it) => ({ streamName: `worst-${it}`, type: "Old", age: 60 })),
      ...[1, 2, 3, 4].map(() => ({ streamName: "worst-2", type: "New", age: 10 })),
      ...["New", "Old", "Old", "Older"].map((type, at) => ({
        streamName: `worst:position-${type}${at}`,
        type: "Recorded",
        data: { position: 0 },
        metadata: { types: [type] },
        age: 90,
      })),
    );
    const { stdout } = await messagedb.run([
      "lag",
      "worst",
      "--critical",
      "3",
      "--warn-age",
      "30m",
    ]);
    expect(stdout).toMatch(
      /^MESSAGEDB CRITICAL - New0 of worst [^;]*; Older3 of worst [^;]*; Old1 of worst [^;]*; and 1 more\|/,
    );
  });

  test("is unknown, with exit code 3, whatever else happens", async () => {
    const unreachable = "postgres://127.0.0.1:1/none";
    const runs = await Promise.all([
      messagedb.run(["lag", "unknown"]),
      messagedb.run(["lag"], { url: empty.url }),
      messagedb.run(["lag"], { url: unreachable }),
      messagedb.run(["lag", "--warn", "many"]),
      messagedb.run(["lag", "--wrn", "1"]),
      messagedb.run(["lag", "a", "b"]),
      messagedb.run(["lag", "--warn", "2", "--critical", "1"]),
      messagedb.run(["lag", "account-1"]),
    ]);
    expect(runs.map(({ exitCode }) => exitCode)).toEqual(runs.map(() => 3));
    expect(runs.map(({ stdout }) => stdout.split(/[:.]/)[0]!.trim())).toEqual([
      'MESSAGEDB UNKNOWN - No consumer of "unknown" has stored a position',
      "MESSAGEDB UNKNOWN - No consumer has stored a position",
      "MESSAGEDB UNKNOWN - Cannot reach postgres",
      "MESSAGEDB UNKNOWN - option '--warn <count>' argument 'many' is invalid",
      "MESSAGEDB UNKNOWN - unknown option '--wrn' (Did you mean --warn?)",
      "MESSAGEDB UNKNOWN - too many arguments for 'lag'",
      "MESSAGEDB UNKNOWN - --warn is above --critical",
      expect.stringMatching(/^MESSAGEDB UNKNOWN - .*account-1/),
    ]);
    expect((await messagedb.run(["lag", "--url"])).exitCode).toBe(3);
    const json = await messagedb.run(["lag", "--json"], { url: unreachable });
    expect(JSON.parse(json.stdout)).toMatchObject({ state: "UNKNOWN", consumers: [] });
  });
});

describe("rewind", () => {
  test("says what it would do, asks, and does it", async () => {
    const first = await writeBehind(db.sql, "rewound", "balances", { count: 4 });
    const balances = { category: "rewound", consumerId: "balances", handle() {} };
    await drain(db.sql, balances);
    const position = async () => (await consumers(db.sql, { category: "rewound" }))[0]!.position;
    const head = await position();

    const rewind = ["rewind", "rewound:position-balances", "--to"];
    expect(await messagedb.run([...rewind, "beginning", "--dry-run"])).toEqual({
      stdout: `rewound:position-balances: goes on at 1 instead of ${head + 1}: ` +
        "4 messages handled again\n",
      stderr: NOTHING_CHANGED,
      exitCode: 0,
    });
    const asked = await messagedb.run([...rewind, String(first + 1)]);
    expect(asked.stderr).toBe(
      `rewound:position-balances: goes on at ${first + 1} instead of ${head + 1}: ` +
        "3 messages handled again\n" +
        "error: Set the position of balances of rewound? Nobody can be asked here: " +
        "give --yes, or look first with --dry-run\n",
    );
    expect(asked.exitCode).toBe(2);
    expect(await position()).toBe(head);

    expect(await messagedb.print(...rewind, "beginning", "--yes"))
      .toBe("balances of rewound goes on at 1\n");
    expect(await position()).toBe(0);
    const never = await messagedb.run([...rewind, "30m", "--dry-run"]);
    expect(never.stdout).toMatch(/: 4 messages never handled\n$/);
    const [plan] = await messagedb.json(...rewind, "end", "--yes");
    expect(plan).toMatchObject({ members: [{ from: 0, again: 0, never: 4, isMore: false }] });
    expect(await position()).toBe(head);
  });

  test("refuses what it cannot do with a sentence", async () => {
    await writeBehind(db.sql, "one", "twice", { count: 1 });
    await writeBehind(db.sql, "two", "twice", { count: 1 });
    const run = async (...args: string[]) => {
      const { stderr, exitCode } = await messagedb.run(["rewind", ...args]);
      return [exitCode, stderr.split("\n")[0]];
    };
    expect(
      await Promise.all([
        run("twice", "--to", "1"),
        run("nobody", "--to", "1"),
        run("one:position-nobody", "--to", "1"),
        run("one:position-twice", "--to", "1000000"),
        run("one:position-twice", "--to", "now"),
        run("one:position-twice", "--to", "2026-02-31"),
        run("one:position-twice"),
      ]),
    ).toEqual([
      [2, 'error: 2 consumers are named "twice": give one:position-twice or two:position-twice'],
      [
        1,
        'error: No consumer "nobody" has stored a position: ' +
        '"messagedb consumers" lists those that have',
      ],
      [1, expect.stringContaining("the store has no position of it")],
      [2, expect.stringContaining("to position 1000000: the store ends before")],
      [2, expect.stringContaining("argument 'now' is invalid. Give a global position, beginning,")],
      [2, expect.stringContaining("argument '2026-02-31' is invalid.")],
      [2, "error: required option '--to <where>' not specified"],
    ]);
  });
});

describe("park and skip", () => {
  test("take the message that is named, by its id or its global position, if it is next", async () => {
    const first = await writeBehind(db.sql, "named", "it", { count: 4 });
    const [one] = await readStream(db.sql, "named-1");
    const [two] = await readStream(db.sql, "named-2");
    const pass = ["--reason", "a test", "--yes"];
    const early = await messagedb.run(["skip", "named:position-it", two!.id, ...pass]);
    const notNext = `Opened named-2 0 (#${first + 2}): it is not the next message ` +
      `that it of named meets: next is Opened named-1 0 (#${first + 1})\n`;
    expect(early).toMatchObject({ exitCode: 1, stderr: `error: Cannot skip ${notNext}` });
    const dryRun = async (place: number, ...more: string[]) =>
      await messagedb.run(["park", "named:position-it", String(place), "--dry-run", ...more]);
    expect(await dryRun(first + 2))
      .toMatchObject({ exitCode: 1, stderr: `error: Cannot park ${notNext}` });
    expect((await dryRun(first + 1, "--reason", "a test")).stderr).toBe(
      "it of named meets this message next. Nothing was changed: to park it, leave out --dry-run\n",
    );

    const place = String(first + 1);
    expect(await messagedb.json("skip", "named:position-it", place, ...pass))
      .toMatchObject([{ id: one!.id, streamName: "named-1" }]);
    expect(await messagedb.print("park", "named:position-it", two!.id, ...pass))
      .toBe(`Parked Opened named-2 0 (#${first + 2}): it of named goes on after it\n`);
    // Once more is no error, and changes nothing.
    await messagedb.print("park", "named:position-it", two!.id, ...pass);
    const status = (await consumers(db.sql, { category: "named" }))[0]!;
    expect(status).toMatchObject({ position: first + 2, behind: 1, parked: 1 });
  });

  test("find the member of a group that is in trouble", async () => {
    const messages = Array.from({ length: 9 }, (_, at) => ({ streamName: `many-${at}`, age: 60 }));
    await writeAged(db.sql, ...messages);
    const group = { category: "many", consumerId: "group", handle() {} };
    await drain(db.sql, { ...group, consumerGroup: { member: 0, size: 2 } });
    await writeAged(db.sql, {
      streamName: "many:position-group+1+2",
      type: "Recorded",
      data: { position: 0 },
      age: 60,
    });
    const { stdout, stderr } = await messagedb.run(["park", "many:position-group", "--dry-run"]);
    expect(stderr).toBe(`group of many, member 1 of 2 meets this message next. ${TO_PARK}`);
    const [stream] = stdout.split(" ");
    const pass = ["--reason", "a test", "--yes"];
    expect(await messagedb.print("park", "many:position-group", ...pass)).toContain(stream);
    const members = await consumers(db.sql, { category: "many" });
    expect(members.find((it) => it.consumerGroup!.member === 1)!.position).toBeGreaterThan(0);
  });

  test("tell who holds a consumer of $all up", async () => {
    const all = { category: "$all", consumerId: "all", handle() {} };
    await drain(db.sql, all);
    const holding = db.connect({ max: 1 });
    await holding.begin(async (transaction) => {
      await append(transaction, "held-1", { type: "A" });
      await append(db.sql, "after-1", { type: "A" });
      expect(await messagedb.run(["park", "all", "--dry-run"])).toEqual({
        stdout: "",
        stderr: "error: No message is ready for all of $all: an open transaction holds it up, " +
          'which "messagedb doctor" names\n',
        exitCode: 1,
      });
    });
  });

  test("need a reason, a message, and a yes", async () => {
    await writeBehind(db.sql, "asks", "it", { count: 2 });
    const run = async (...args: string[]) => {
      const { stderr, exitCode } = await messagedb.run(args);
      return [exitCode, stderr.split("\n")[0]];
    };
    const reason = ["--reason", "a test"];
    expect(
      await Promise.all([
        run("park", "asks:position-it"),
        run("skip", "asks:position-it", "999999", ...reason),
        run("skip", "asks:position-it", ...reason),
        run("skip", "asks:position-it", "no-id", ...reason),
      ]),
    ).toEqual([
      [2, 'error: Say why: --reason "…". It is kept with the message'],
      [1, "error: The store has no message at global position 999999"],
      [2, expect.stringMatching(/^error: Skip for ever Opened asks-1 0 .* Nobody can be asked/)],
      [2, expect.stringContaining("no-id")],
    ]);
    const idle = { category: "asks", consumerId: "idle", handle() {} };
    await drain(db.sql, idle);
    expect(await run("park", "idle", ...reason, "--yes")).toEqual([
      2,
      'error: 2 consumers are named "idle": give asks:position-idle or trouble:position-idle',
    ]);
    expect(await run("park", "asks:position-idle", ...reason, "--yes"))
      .toEqual([1, "error: No message waits for idle of asks"]);
  });
});

test("a process that holds the position goes on after a skip and a rewind", async () => {
  const held = { owner: crypto.randomUUID(), leaseDuration: 10_000_000, answers: true } as const;
  const first = await writeBehind(db.sql, "running", "it", { metadata: held });
  const stderr = "A process runs: it goes on from there within a second, " +
    "or 10 s if its handler hangs.\n";
  const skip = ["skip", "running:position-it", "--reason", "a test", "--yes"];
  expect(await messagedb.run(skip)).toMatchObject({ stderr, exitCode: 0 });
  const rewind = ["rewind", "running:position-it", "--to", String(first), "--yes"];
  expect(await messagedb.run(rewind)).toMatchObject({ stderr, exitCode: 0 });
});

test("prune counts with --dry-run, and deletes with --yes", async () => {
  await writeBehind(db.sql, "pruned", "it");
  for (const age of [50, 40, 30]) {
    const position = { type: "Recorded", data: { position: age }, age };
    await writeAged(db.sql, { ...position, streamName: "pruned:position-it" });
  }
  const [counted] = await messagedb.json("prune", "--older-than", "45m", "--dry-run");
  expect(counted).toMatchObject({ positions: 1, snapshots: 0 });
  const dry = await messagedb.run(["prune", "--older-than", "45m", "--dry-run"]);
  expect(dry.stdout).toMatch(
    /^ +1 {2}positions of consumers, but the first and the last of each$/m,
  );
  expect(dry.stderr).toBe("Nothing was deleted.\n");
  const asked = await messagedb.run(["prune", "--older-than", "45m"]);
  expect(asked.exitCode).toBe(2);
  expect(asked.stderr).toContain("Delete 1 message of bookkeeping, older than 45 min?");
  const mayNotDelete = await messagedb.run(["prune", "--yes"], {
    url: `${db.url}?role=message_store`,
  });
  expect(mayNotDelete).toMatchObject({
    stderr: "error: Cannot prune the store: the role message_store may not delete messages, " +
      'which "grant delete on message_store.messages to message_store" allows\n',
    exitCode: 3,
  });
  expect(await messagedb.json("prune", "--older-than", "45m", "--yes")).toEqual([counted]);
  expect(await readStream(db.sql, "pruned:position-it")).toHaveLength(3);
});

test("remove deletes a consumer, when it is told to", async () => {
  await writeBehind(db.sql, "removed", "it");
  const dry = await messagedb.run(["remove", "removed:position-it", "--dry-run"]);
  expect(dry.stdout).toBe("Would remove it of removed: 1 position, 0 parked messages\n");
  expect(await consumers(db.sql, { category: "removed" })).toHaveLength(1);
  expect(await messagedb.print("remove", "removed:position-it", "--yes"))
    .toBe("Removed it of removed\n");
  expect(await consumers(db.sql, { category: "removed" })).toEqual([]);
});
