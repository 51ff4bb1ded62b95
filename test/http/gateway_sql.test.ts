import { neon, neonConfig } from "@neondatabase/serverless";
import {
  aggregate,
  append,
  categories,
  entityIds,
  follow,
  fromQuery,
  groupCommit,
  importMessages,
  readAggregate,
  readAll,
  readCategory,
  readLastMessage,
  readMatching,
  readMessages,
  readStream,
  type Sql,
  streamNames,
  streamVersion,
  subscribe,
  write,
  writeBatch,
  writeStreams,
  WrongExpectedVersionError,
} from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway, type GatewayCall, type GatewayOptions } from "@messagedb/client/gateway";
import type postgres from "postgres";
import { beforeAll, describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { readLastMessages } from "../../src/consume/_read_last_messages.ts";
import { readHeads } from "../../src/subscribe/_heads.ts";
import { operations, programs, variants } from "../_operations.ts";
import { serve } from "../_serve.ts";
import { openHandle, useDatabase } from "../database.ts";

const db = useDatabase();
const message = { type: "Written" };
const everyone = () => true;
const newStream = () => `a-${crypto.randomUUID()}`;

interface Statement {
  readonly query: string;
  readonly params: (string | null)[];
}

/** A handle that sends by a gateway to the test's database. */
function through(options: Partial<GatewayOptions> = {}, sql: Sql = db.sql): Sql {
  const handle = gateway(sql, { authorize: everyone, ...options });
  return fetchSql("http://gateway/sql", { fetch: (url, init) => handle(new Request(url, init)) });
}

/** What a gateway answers to a statement, and how many statements it sent. */
async function post(
  body: unknown,
  options: Partial<GatewayOptions> = {},
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Record<string, unknown>; sent: number }> {
  let sent = 0;
  const counting: Sql = (strings, ...parameters) => {
    sent++;
    return db.sql(strings, ...parameters);
  };
  const response = await gateway(counting, { authorize: everyone, ...options })(
    new Request(`http://gateway${options.basePath ?? ""}/sql`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: typeof body === "string" || body instanceof Blob ? body : JSON.stringify(body),
    }),
  );
  return { status: response.status, body: await response.json(), sent };
}

/** The statements that an operation sends. */
async function statementsOf(operation: (sql: Sql) => Promise<unknown>): Promise<Statement[]> {
  const statements: Statement[] = [];
  const sql = conditions();
  await operation(fromQuery((query, params) => {
    statements.push({ query, params });
    return sql.unsafe(query, params);
  }));
  return statements;
}

/** A handle on which a condition is allowed. */
function conditions(): postgres.Sql {
  return db.connect({ max: 1, connection: { "message_store.sql_condition": "on" } as object });
}

async function readAcrossGap(sql: Sql): Promise<unknown> {
  await db.sql`select nextval('message_store.messages_global_position_seq')`;
  await write(db.sql, newStream(), message);
  return await readAll(sql);
}

const every: Record<string, (sql: Sql) => Promise<unknown>> = {
  ...operations,
  ...variants,
  "readAll across a gap": readAcrossGap,
  "readMatching across a gap": (sql) => readAcrossGap(db.sql).then(() => readMatching(sql, "a%")),
};

/** The operations that are made of another. */
const made: Readonly<Record<string, string>> = {
  append: "writeBatch",
  read: "readAll",
  readMessage: "readMessages",
  groupCommit: "write",
  reply: "write",
  iterateStream: "readStream",
  iterateCategory: "readCategory",
  iterateAll: "readAll",
  iterateMatching: "readMatching",
  subscribe: "readCategory",
};

describe("a gateway runs", () => {
  test.each(Object.entries(every))("%s", async (title, operation) => {
    const calls: GatewayCall[] = [];
    const authorize = (_: Request, call: GatewayCall) => {
      calls.push(call);
      return true;
    };
    await operation(through({ authorize, allowConditions: true }, conditions()));
    const operated = title.split(" ")[0]!;
    const name = made[operated] ?? operated;
    expect([...new Set(calls.map((call) => call.operation))]).toEqual([name]);
    expect(calls.map(({ writes }) => writes)).toEqual(
      calls.map(() => /^write|^synchronize$|^import/.test(name)),
    );
  });
});

// What `settle` does is for those who operate the primary, and no gateway allows it.
const { settle: _, ...programsOfCallers } = programs;

test.each(Object.entries(programsOfCallers))("a gateway runs %s()", async (_, run) => {
  await run(through({ authorize: () => true }));
});

describe("a gateway runs nothing that authorize was not asked about, whatever part is changed of", () => {
  const others = ["evil-1", "evil", '"evil"', '{"evil":1}', '["evil"]', "666"];
  const authorize = (_: Request, call: GatewayCall) => !/evil|666/.test(JSON.stringify(call));

  const { drain, aggregate } = programs;

  test.each(Object.entries({ ...every, drain: drain!, aggregate: aggregate! }))(
    "%s",
    async (_, operation) => {
      for (const { query, params } of await statementsOf(operation)) {
        for (const [at, param] of params.entries()) {
          for (const other of [...others, `${param} `, (param ?? "").toUpperCase(), null]) {
            const changed = params.with(at, other);
            if (other === param) continue;
            const { status, sent } = await post({ query, params: changed }, { authorize });
            if (sent === 0) {
              expect(status).toBeOneOf([400, 403, 422]);
              continue;
            }
            // What is left is another call, and said to be: an option more or less, an id in capitals.
            expect(params.filter((it) => it === param && it !== null).length).toBeLessThan(2);
            expect(others.slice(0, 5)).not.toContain(other);
          }
        }
      }
    },
  );
});

describe("a gateway never fails of a parameter, whatever it is", () => {
  const odd = [
    "",
    "[",
    "[5]",
    "[null]",
    "[[]]",
    "[{}]",
    "{}",
    '"[5]"',
    "null",
    "true",
    "-1",
    "1e9",
  ];
  const columns = ["streamName", "id", "type", "data", "metadata", "expectedVersion", "inStream"];

  test.each(Object.entries({ ...every, ...programsOfCallers, watch: watchTwo }))(
    "%s",
    async (_, operation) => {
      const failures: unknown[] = [];
      const options = { authorize: everyone, onError: (error: unknown) => failures.push(error) };
      const checked = new Set<string>();
      for (const { query, params } of await statementsOf(operation)) {
        if (checked.has(query)) continue;
        checked.add(query);
        for (const [at, param] of params.entries()) {
          const cut = columns.filter((it) => param?.includes(`"${it}":[`))
            .map((it) => JSON.stringify({ ...JSON.parse(param!), [it]: undefined }));
          for (const other of [...odd, ...cut, null]) {
            const { status, body } = await post({ query, params: params.with(at, other) }, options);
            expect([status, body, failures], `${at}: ${other}`).toEqual([
              expect.toSatisfy((it) => it < 500, "is no failure"),
              expect.anything(),
              [],
            ]);
          }
        }
      }
    },
  );

  /** Looks for news of two sources, as those who wait on a handle do. */
  async function watchTwo(sql: Sql): Promise<void> {
    const { state } = await readHeads(sql, [["all", ""], ["category", "watched"]], null);
    await readHeads(sql, [["all", ""], ["category", "watched"]], state);
  }
});

describe("a rule by category lets no message of another category through", () => {
  const hidden = { type: "Paid", data: "4111" };

  test.each(Object.entries(every))("of %s", async (_, operation) => {
    const calls: GatewayCall[] = [];
    const authorize = (_: Request, call: GatewayCall) => {
      calls.push(call);
      return true;
    };
    await operation(through({ authorize, allowConditions: true }, conditions()));
    const reachesAny = /^read(All|Matching|Messages|Aggregate)$|^categories$|^messageStore/;
    for (const { operation, streamName, category } of calls) {
      if (!reachesAny.test(operation)) continue;
      expect([operation, streamName, category]).toEqual([operation, undefined, undefined]);
    }
  });

  test("by an aggregate of that name, with a reference of the reader's own", async () => {
    const { globalPosition } = await append(db.sql, "payment-1", hidden);
    const guest = through({
      authorize: (_, { operation, writes, category }) =>
        category === "guestBook" && (operation === "write" || !writes),
    });
    const metadata = { causationMessageGlobalPosition: globalPosition };
    await write(guest, "guestBook-1", { type: "Signed", metadata });
    const refused = { status: 403 };
    await expect(readAggregate(guest, "guestBook")).rejects.toMatchObject(refused);
    await expect(readAggregate(guest, "guestBook", { partition: "1" })).rejects
      .toMatchObject(refused);
    await expect(subscribe(guest, { aggregate: "guestBook" }).next()).rejects
      .toMatchObject(refused);
    const options = { startAt: new Date(0) };
    await expect(subscribe(guest, { aggregate: "guestBook" }, options).next()).rejects
      .toMatchObject(refused);
  });

  test("by an aggregate of that name, with a reference that follow() made", async () => {
    const { globalPosition } = await append(db.sql, "payment-2", hidden);
    const paid = (await readStream(db.sql, "payment-2"))[0]!;
    expect(paid.globalPosition).toBe(globalPosition);
    await write(db.sql, "notice-1", follow(paid, { type: "Noticed" }));
    const reader = through({
      authorize: (_, { writes, category }) => !writes && category === "notice",
    });
    expect(await readCategory(reader, "notice")).toHaveLength(1);
    await expect(readAggregate(reader, "notice")).rejects.toMatchObject({ status: 403 });
  });

  test("by a condition", async () => {
    const stream = newStream();
    const calls: GatewayCall[] = [];
    const allowing = (rule: (call: GatewayCall) => boolean) =>
      through({
        allowConditions: true,
        authorize: (_, call) => {
          calls.push(call);
          return rule(call);
        },
      }, conditions());
    const condition = "messages.position = 0";
    for (const rule of [{ streamName: stream }, { category: "a" }]) {
      const [[name, value]] = Object.entries(rule) as [[keyof GatewayCall, string]];
      const sql = allowing((call) => call[name] === value);
      await expect(readStream(sql, stream, { condition })).rejects.toMatchObject({ status: 403 });
      await expect(readCategory(sql, "a", { condition })).rejects.toMatchObject({ status: 403 });
      expect(calls.at(-1)).toMatchObject(name === "streamName" ? { category: "a" } : { condition });
    }
    await readStream(allowing(() => true), stream, { condition });
    expect(calls.at(-1)).toEqual({ operation: "readStream", writes: false, condition });
  });
});

test("a batch that two parsers could read in two ways is refused", async () => {
  const stream = newStream();
  const [statement] = await statementsOf((sql) =>
    writeStreams(sql, [{ streamName: stream, messages: [message] }])
  );
  const { query, params: [columns] } = statement!;
  for (
    const params of [
      [columns!.replace('{"streamName"', '{"streamName":["other-1"],"streamName"')],
      [columns!.replace('"type"', '"StreamName":["other-1"],"type"')],
      [columns!.replace('"type"', '"streamName\\u0000":["other-1"],"type"')],
      [columns!.replace('"streamName"', '"stream\\u004eame"')],
      [` ${columns}`],
      [columns!.replace(`["${stream}"`, `[null,"${stream}"`)],
      [columns!.replace(`["${stream}"`, `["${stream}","other-1"`)],
      [columns!.replace(`["${stream}"]`, `{"0":"${stream}"}`)],
      [`[${columns}]`],
    ]
  ) {
    expect(params[0]).not.toBe(columns);
    expect(await post({ query, params })).toMatchObject({ status: 422, sent: 0 });
  }
});

test.each(["0000-12-31T23:59:59.999Z", "+010000-01-01T00:00:00.000Z", "now", "", 0])(
  "a message is not imported at a time that importMessages refuses: %j",
  async (refused) => {
    const time = new Date();
    const id = crypto.randomUUID();
    const [statement] = await statementsOf((sql) =>
      importMessages(sql, [{ streamName: newStream(), id, time, ...message }])
    );
    const { query, params: [columns] } = statement!;
    const params = [columns!.replace(JSON.stringify(time), JSON.stringify(refused))];
    expect(params[0]).not.toBe(columns);
    expect(await post({ query, params })).toMatchObject({ status: 422, sent: 0 });
  },
);

test("a rule by what is read is asked the same where positions are missing", async () => {
  const calls: GatewayCall[] = [];
  const authorize = (_: Request, call: GatewayCall) => {
    calls.push(call);
    return call.batchSize! <= 50 && call.position === 1;
  };
  const sql = through({ authorize });
  await readAcrossGap(db.sql);
  await readAll(sql, { position: 1, batchSize: 50 });
  expect(calls.length).toBeGreaterThan(1);
  for (const call of calls) expect(call).toEqual(calls[0]);
});

describe("authorize", () => {
  test("is no option: without it there is no gateway", () => {
    for (const options of [undefined, {}, { authorize: true }, { authorize: undefined }]) {
      expect(() => gateway(db.sql, options as never)).toThrow(TypeError);
    }
  });

  test("sees the request, and the parameters as the operation takes them", async () => {
    const calls: GatewayCall[] = [];
    const sql = through({
      authorize: ({ headers }, call) => {
        calls.push(call);
        return headers.get("content-type") === "application/json";
      },
    });
    const id = crypto.randomUUID();
    await write(sql, "order:command-1", {
      id,
      ...message,
      data: [1],
      metadata: { schemaVersion: "2" },
    }, {
      expectedVersion: -1,
    });
    const consumerGroup = { member: 0, size: 2 };
    await readCategory(sql, "order", { position: 5, correlation: "cart", consumerGroup });
    expect(calls).toEqual([{
      operation: "write",
      writes: true,
      streamName: "order:command-1",
      category: "order:command",
      messages: [{ id, ...message, data: [1], metadata: { schemaVersion: "2" } }],
      expectedVersion: -1,
    }, {
      operation: "readCategory",
      writes: false,
      category: "order",
      position: 5,
      batchSize: 1000,
      direction: "forward",
      correlation: "cart",
      consumerGroup,
    }]);
  });

  test.each([
    ["answers false", () => false],
    ["resolves to false", () => Promise.resolve(false)],
    ["answers what is not true", () => "yes" as never],
    ["throws", () => {
      throw new Error("No token");
    }],
    ["rejects", () => Promise.reject(new Error("No token"))],
  ])("that %s lets nothing be written", async (title, authorize) => {
    const stream = newStream();
    const errors: unknown[] = [];
    const onError = (error: unknown) => errors.push(error);
    await expect(write(through({ authorize, onError }), stream, message)).rejects.toMatchObject({
      status: 403,
      message: expect.stringContaining(`Cannot write to stream "${stream}": it is not allowed`),
    });
    expect(await streamVersion(db.sql, stream)).toBe(-1);
    expect(errors).toEqual(/throws|rejects/.test(title) ? [new Error("No token")] : []);
  });

  test("is asked about each stream of a call, and all or none is written", async () => {
    const streams = [newStream(), newStream(), newStream()];
    const asked: unknown[] = [];
    const allowed = new Set(streams.slice(0, 2));
    const sql = through({
      authorize: (_, { streamName }) => {
        asked.push(streamName);
        return allowed.has(streamName!);
      },
    });
    const calls = streams.map((streamName) => ({ streamName, messages: [message] }));
    await expect(writeStreams(sql, calls)).rejects.toMatchObject({ status: 403 });
    expect(asked).toEqual(streams);
    for (const stream of streams) expect(await streamVersion(db.sql, stream)).toBe(-1);
    allowed.add(streams[2]!);
    expect(await writeStreams(sql, calls)).toEqual([0, 0, 0]);
  });
});

test("a condition is refused unless the gateway allows it", async () => {
  const [statement] = await statementsOf((sql) => readStream(sql, "a-1", { condition: "true" }));
  expect(await post(statement)).toMatchObject({
    status: 403,
    sent: 0,
    body: { detail: "Cannot read with a condition: this gateway does not allow any" },
  });
  expect((await post(statement, { allowConditions: true })).sent).toBe(1);
});

describe("a statement that is none of an operation's", () => {
  test.each(["select 1", "", "drop table message_store.messages"])(
    "is refused: %s",
    async (query) => {
      const { status, sent, body } = await post({ query, params: [] });
      expect([status, sent, body["code"]]).toEqual([403, 0, "UNKNOWN_STATEMENT"]);
      expect(JSON.stringify(body)).not.toContain(query || "SELECT");
    },
  );

  test("of another version is refused with both versions", async () => {
    const header = { "messagedb-client-version": "7.0.0" };
    const { status, body } = await post({ query: "select 1", params: [] }, {}, header);
    expect([status, body["detail"]]).toEqual([
      403,
      "Cannot run this statement: the client is @messagedb/client 7.0.0, and this gateway knows " +
      `the statements of ${packageJson.version}: use one version for both`,
    ]);
    expect(body).toMatchObject({ gatewayVersion: packageJson.version, clientVersion: "7.0.0" });
  });

  test("but for a space is refused", async () => {
    for (const operation of Object.values(every)) {
      for (const { query, params } of await statementsOf(operation)) {
        expect(await post({ query: `${query} `, params })).toMatchObject({ status: 403, sent: 0 });
      }
    }
  });
});

describe("a number", () => {
  const numbers = [
    ...[0, -0.5, 1e21, 2 ** 53 - 1, 2 ** 53, 2 ** 60, 12345678901234567890, 1e300, 5e-324],
    ...[-123456789012345680000, 0.1 + 0.2, 1 / 3],
  ];

  test("that JavaScript writes is kept as over TCP", async () => {
    const [over, direct] = [newStream(), newStream()];
    await write(through(), over, { ...message, data: numbers });
    await write(db.sql, direct, { ...message, data: numbers });
    const [first] = await readStream(through(), over);
    const [second] = await readStream(db.sql, direct);
    expect(first!.data).toEqual(numbers);
    expect(first!.data).toEqual(second!.data);
  });

  test.each([
    ...["9007199254740993", "[12345678901234567890123]", '{"a":-9223372036854775807}'],
    ...["9007199254740993.0", "12345678901234567890.0", "123456789012345678e3", "1e-400", "1e400"],
  ])(
    "that it would change is refused: %s",
    async (data) => {
      const response = await gateway(db.sql, { authorize: everyone })(
        new Request(`http://gateway/streams/${newStream()}/messages`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: `{"type":"Written","data":${data}}`,
        }),
      );
      expect(response.status).toBe(422);
      expect((await response.json()).detail).toMatch(
        /^Cannot keep the number [-\d.e]+: write it as text$/,
      );
    },
  );

  test.each([[1e308, 100_000], [1e-300, 100_000]])(
    "of few characters makes no message that is too large for an answer: %s",
    async (number, count) => {
      const [stream, data] = [newStream(), Array<number>(count).fill(number)];
      const refused =
        /Cannot keep the numbers of .*: PostgreSQL writes them in full, with more than 8000000 zeros/;
      await expect(write(through(), stream, { ...message, data })).rejects.toThrow(refused);
      const response = await gateway(db.sql, { authorize: everyone })(
        new Request(`http://gateway/streams/${stream}/messages`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ ...message, data }),
        }),
      );
      expect(response.status).toBe(422);
      expect((await response.json()).detail).toMatch(refused);
      expect(await streamVersion(db.sql, stream)).toBe(-1);
    },
  );

  test("of a measurement is kept, with thousands of others", async () => {
    const [stream, data] = [newStream(), Array<number>(20_000).fill(1.5e-12)];
    await write(through(), stream, { ...message, data });
    expect((await readStream(through(), stream))[0]!.data).toEqual(data);
  });
});

describe("a body", () => {
  test.each([
    ["that is no JSON", "{", 400],
    ["that is empty", "", 400],
    ["that is null", "null", 422],
    ["without a query", "{}", 422],
    ["with a query that is no text", '{"query":7}', 422],
    ["with a parameter that is no text", '{"query":"select 1","params":[7]}', 422],
    ["with several statements", '{"queries":[{"query":"select 1","params":[]}]}', 422],
    ["nested too deep", `{"query":${"[".repeat(501)}${"]".repeat(501)}}`, 400],
    ["nested much too deep", "[".repeat(500_000), 400],
    ["that is not UTF-8", new Blob([new Uint8Array([0x22, 0xff, 0x22])]), 400],
    ["larger than maxBodyBytes", JSON.stringify({ query: "ü".repeat(600_000) }), 413],
  ])("%s is refused", async (_, body, status) => {
    expect(await post(body)).toMatchObject({ status, sent: 0 });
  });

  test("of another content type is refused", async () => {
    const headers = { "content-type": "text/plain" };
    expect(await post("{}", {}, headers)).toMatchObject({ status: 415, sent: 0 });
    expect(await post("{}", {}, { "content-encoding": "gzip" })).toMatchObject({ status: 415 });
  });

  test("may be as large as maxBodyBytes, to the byte", async () => {
    const [statement] = await statementsOf((sql) => streamVersion(sql, "a-ü"));
    const maxBodyBytes = new TextEncoder().encode(JSON.stringify(statement)).length;
    expect((await post(statement, { maxBodyBytes })).status).toBe(200);
    expect((await post(statement, { maxBodyBytes: maxBodyBytes - 1 })).status).toBe(413);
  });
});

describe("an answer of more bytes than maxAnswerBytes is refused", () => {
  const tooLarge = { status: 422, problem: "ANSWER_TOO_LARGE" };

  /** A handle by a gateway, and how long each answer was that the gateway got. */
  function measured(maxAnswerBytes: number): { sql: Sql; answered: number[] } {
    const answered: number[] = [];
    const handle: Sql = async (strings, ...parameters) => {
      const rows = await db.sql(strings, ...parameters) as Record<string, string | null>[];
      answered.push(rows.flatMap((row) => Object.values(row)).join("").length);
      return rows;
    };
    return { sql: through({ maxAnswerBytes }, handle), answered };
  }

  const backward = { direction: "backward" } as const;
  const limitedId = crypto.randomUUID();
  const reads: Readonly<Record<string, (sql: Sql) => Promise<unknown>>> = {
    readStream: (sql) => readStream(sql, "limited-1"),
    "readStream backward": (sql) => readStream(sql, "limited-1", backward),
    readCategory: (sql) => readCategory(sql, "limited"),
    "readCategory backward": (sql) => readCategory(sql, "limited", backward),
    readAll: (sql) => readAll(sql),
    "readAll backward": (sql) => readAll(sql, backward),
    readMatching: (sql) => readMatching(sql, "limited-%"),
    readLastMessage: (sql) => readLastMessage(sql, "limited-1"),
    readMessages: (sql) => readMessages(sql, [limitedId]),
    readAggregate: (sql) => readAggregate(sql, "limited"),
    "readAggregate of a partition": (sql) => readAggregate(sql, "limited", { partition: "1" }),
    subscribe: (sql) => subscribe(sql, "limited").next(),
    "subscribe to all": (sql) => subscribe(sql, "$all").next(),
    "subscribe to an aggregate": (sql) => subscribe(sql, { aggregate: "limited" }).next(),
    streamNames: (sql) => streamNames(sql, "limited"),
    entityIds: (sql) => entityIds(sql, "limited"),
    categories: (sql) => categories(sql),
    "the positions of consumers": (sql) => readLastMessages(sql, ["limited-1"]),
  };

  beforeAll(async () => {
    const { globalPosition } = await append(db.sql, "limited-1", { id: limitedId, type: "T" });
    const metadata = { causationMessageGlobalPosition: globalPosition };
    await write(db.sql, "limited-1", { type: "T", metadata });
  });

  test.each(Object.entries(reads))("by %s", async (_, read) => {
    expect(await read(measured(1_000_000).sql)).not.toEqual([]);
    const { sql, answered } = measured(1);
    // A page is read message by message then. The error says which message is too large alone.
    const error = await read(sql).then(() => undefined, (error: Error) => error);
    expect(error instanceof RangeError ? error.cause : error).toMatchObject(tooLarge);
    expect(answered).toEqual([]);
  });

  test("which is what it would have been, and less is answered", async () => {
    const stream = newStream();
    const data = { text: 'a "quoted" ü'.repeat(50) };
    const ids = Array.from({ length: 20 }, () => crypto.randomUUID());
    await writeBatch(db.sql, stream, ids.map((id) => ({ id, type: "T", data })));
    const whole = new TextEncoder().encode(JSON.stringify(await readStream(db.sql, stream))).length;
    const { sql } = measured(Math.round(whole * 1.1));
    expect(await readStream(sql, stream)).toHaveLength(20);
    const less = measured(Math.round(whole * 0.9));
    expect(await readStream(less.sql, stream)).toHaveLength(20);
    // Not in one answer.
    expect(less.answered.length).toBeGreaterThan(1);
  });

  test("by one id, or one name of a stream, many times", async () => {
    const id = crypto.randomUUID();
    await write(db.sql, "big-1", { id, type: "T", data: "x".repeat(100_000) });
    const { sql, answered } = measured(1_000_000);
    await expect(readLastMessages(sql, Array<string>(250).fill("big-1"))).rejects
      .toMatchObject(tooLarge);
    expect(answered).toEqual([]);
    expect(await readMessages(sql, Array<string>(50).fill(id))).toHaveLength(50);
    expect(Math.max(...answered)).toBeLessThan(1_000_000);
  });

  test("by what is a thousand times as long when it is read as when it was written", async () => {
    const stream = newStream();
    await write(db.sql, stream, { type: "T", data: Array<number>(10_000).fill(1e308) });
    const { sql, answered } = measured(1_000_000);
    await expect(readStream(sql, stream)).rejects.toMatchObject({
      name: "RangeError",
      message: `Cannot read stream "${stream}" at its first message: the message there is longer ` +
        "than a text can be: read on behind it, or read it in parts with SQL of your own",
      cause: tooLarge,
    });
    expect(answered).toEqual([]);
  });

  test("by names", async () => {
    const category = `n${crypto.randomUUID().replaceAll("-", "")}`;
    await db.sql`
      insert into message_store.messages (stream_name, type, position)
      select ${category} || '-' || repeat('n', 300) || i, 'T', 0 from generate_series(1, 1000) i`;
    const { sql, answered } = measured(100_000);
    await expect(streamNames(sql, category)).rejects.toMatchObject(tooLarge);
    await expect(entityIds(sql, category)).rejects.toMatchObject(tooLarge);
    expect(answered).toEqual([]);
    expect(await streamNames(measured(1_000_000).sql, category)).toHaveLength(1000);
  });

  test("but not by a read that leaves large messages out", async () => {
    const category = `t${crypto.randomUUID().replaceAll("-", "")}`;
    const large = { type: "Large", data: "x".repeat(10_000) };
    await writeBatch(db.sql, `${category}-1`, [large, large, { type: "Small" }]);
    const { sql } = measured(5000);
    const next = subscribe(sql, category, { types: ["Small"] }).next();
    expect((await next).value).toMatchObject({ type: "Small" });
  });
});

test("the streams that a call names are counted before authorize is asked", async () => {
  let asked = 0;
  const authorize = () => ++asked > 0;
  const sql = through({ authorize, maxBatchSize: 10 });
  const names = Array.from({ length: 50_000 }, () => "unwritten-1");
  await expect(readLastMessages(sql, names)).rejects.toMatchObject({ status: 422 });
  await expect(readMessages(sql, Array<string>(11).fill(crypto.randomUUID()))).rejects
    .toMatchObject({ status: 422 });
  expect(asked).toBe(0);
  expect(await readLastMessages(sql, names.slice(0, 10))).toEqual([]);
  expect(asked).toBe(10);
});

test("a read by several patterns is one page, whatever their number", async () => {
  const sql = through({ maxBatchSize: 10 });
  const from = ["x", "y", "z"];
  const consumer = { name: "patterned", from, partition: () => 0, batchSize: 10 };
  await aggregate(sql, consumer, { once: true });
});

test("a call that names nothing is refused, as no rule allows it", async () => {
  const sql = through({ authorize: () => false });
  await expect(readLastMessages(sql, [])).rejects.toMatchObject({ status: 422 });
  await expect(readMessages(sql, [])).rejects.toMatchObject({ status: 403 });
});

test("a call may have maxBatchSize messages, read or written, and no more", async () => {
  const sql = through({ maxBatchSize: 2 });
  const stream = newStream();
  const few = [message, message];
  const refused = { status: 422, message: expect.stringContaining("a call may have 2 at most") };
  const [one, two] = [newStream(), newStream()];
  await expect(readStream(sql, stream)).rejects.toMatchObject(refused);
  await expect(readAll(sql, { batchSize: 3 })).rejects.toMatchObject(refused);
  await expect(writeStreams(sql, [
    { streamName: one, messages: few },
    { streamName: two, messages: [message] },
  ])).rejects.toMatchObject(refused);
  expect(await writeStreams(sql, [{ streamName: one, messages: few }])).toEqual([1]);
  expect(await readStream(sql, one, { batchSize: 2 })).toHaveLength(2);
});

describe("of writes that share a statement,", () => {
  const outcomesOf = async (writes: Promise<number>[]) =>
    (await Promise.allSettled(writes)).map((it) =>
      it.status === "fulfilled" ? it.value : it.reason.status
    );

  test("one that is not allowed fails alone", async () => {
    const [one, other] = [newStream(), newStream()];
    const authorize = (_: Request, { streamName }: GatewayCall) => streamName !== other;
    const write = groupCommit(through({ authorize }));
    const outcomes = await outcomesOf([one, other, one, one].map((it) => write(it, message)));
    expect(outcomes).toEqual([0, 403, 1, 2]);
  });

  test("one that is too large, or nested too deep, fails alone", async () => {
    const stream = newStream();
    const write = groupCommit(through({ maxBodyBytes: 100_000 }));
    const deep = JSON.parse(`${"[".repeat(501)}${"]".repeat(501)}`);
    const outcomes = await outcomesOf(
      [1, "x".repeat(100_000), 2, deep, 3].map((data) => write(stream, { ...message, data })),
    );
    expect(outcomes).toEqual([0, 413, 1, 400, 2]);
  });

  test("fewer are sent at once where there may be fewer", async () => {
    const stream = newStream();
    const write = groupCommit(through({ maxBatchSize: 2 }));
    const outcomes = await outcomesOf([1, 2, 3, 4, 5].map(() => write(stream, message)));
    expect(outcomes).toEqual([0, 1, 2, 3, 4]);
  });

  // Each is three bytes, or is sent as four.
  test.each(["漢", '"'])("a batch of %s is no larger than a body may be", async (character) => {
    const stream = newStream();
    const imported = Array.from({ length: 1000 }, () => ({
      ...message,
      streamName: stream,
      id: crypto.randomUUID(),
      time: new Date(),
      data: character.repeat(500),
    }));
    expect((await importMessages(through(), imported)).count).toBe(1000);
  });
});

describe("what is too much is refused before any work is done for each of it:", () => {
  test.each([
    ["messages", "/streams/a-1/messages", `{"messages":[${"0,".repeat(400_000)}0]}`],
    ["parameters", "/sql", `{"query":"select 1","params":[${"0,".repeat(400_000)}0]}`],
  ])("%s", async (_, path, body) => {
    let sent = 0;
    const counting: Sql = () => Promise.reject(new Error(`Sent ${++sent}`));
    const headers = { "content-type": "application/json", "idempotency-key": "a-key" };
    const handle = gateway(counting, { authorize: everyone });
    const response = await handle(
      new Request(`http://gateway${path}`, { method: "POST", headers, body }),
    );
    expect([response.status, sent]).toEqual([422, 0]);
    expect((await response.json()).detail).toMatch(/^Cannot /);
  });
});

describe("a path", () => {
  test("is under the base path", async () => {
    const [statement] = await statementsOf((sql) => streamVersion(sql, "a-1"));
    expect((await post(statement, { basePath: "/events/v1" })).status).toBe(200);
    const handle = gateway(db.sql, { authorize: everyone, basePath: "/events" });
    for (const path of ["/sql", "/events", "/eventssql", "/events/", "/events/sql/", "/"]) {
      const response = await handle(new Request(`http://gateway${path}`, { method: "POST" }));
      expect(response.status, path).toBe(404);
    }
  });

  test("of statements takes POST alone", async () => {
    const response = await gateway(db.sql, { authorize: everyone })(
      new Request("http://gateway/sql"),
    );
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });
});

const NO_OPTIONS: Readonly<Record<string, unknown>>[] = [
  ...["events/", "/events/", "/", "/é", "/a b", "/a/../b", "/a?b", "/a#b", "//a", 7].map((
    basePath,
  ) => ({
    basePath,
  })),
  { maxBodyBytes: 0 },
  { maxBatchSize: 1.5 },
  { maxAnswerBytes: 0 },
  { maxFollowers: 0 },
  { cors: "https://a.example" },
  { allowConditions: 1 },
  { onError: "log" },
  { signal: {} },
];

test("a handle that is none is refused", () => {
  expect(() => gateway({} as never, { authorize: everyone })).toThrow(/^Cannot use /);
});

test.each(NO_OPTIONS.map((options) => [JSON.stringify(options), options] as const))(
  "options that are none are refused: %s",
  (_, options) => {
    expect(() => gateway(db.sql, { authorize: everyone, ...options })).toThrow(/^Cannot use /);
  },
);

describe("a page of another origin", () => {
  const origin = "https://app.example.com";
  const preflight = { origin, "access-control-request-method": "POST" };
  async function headersOf(
    cors: GatewayOptions["cors"],
    method: string,
    headers: Record<string, string>,
  ): Promise<[number, Record<string, string>]> {
    const handle = gateway(db.sql, { authorize: everyone, cors });
    const response = await handle(new Request("http://gateway/sql", { method, headers }));
    const found = [...response.headers].filter(([name]) => /^access|^vary/.test(name));
    return [response.status, Object.fromEntries(found)];
  }

  test("that is allowed is told so, and may send what it asks to send", async () => {
    const wanted = "authorization,content-type,x-tenant";
    expect(
      await headersOf([origin], "OPTIONS", {
        ...preflight,
        "access-control-request-headers": wanted,
      }),
    ).toEqual([204, {
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": wanted,
      "access-control-expose-headers": "etag, retry-after",
      "access-control-max-age": "600",
      vary: "access-control-request-headers, origin",
    }]);
  });

  test("may read refusals, too", async () => {
    expect(await headersOf([origin], "POST", { origin })).toEqual([415, {
      "access-control-allow-origin": origin,
      "access-control-allow-credentials": "true",
      "access-control-expose-headers": "etag, retry-after",
      vary: "origin",
    }]);
  });

  test("may be any, and then has no cookies", async () => {
    expect(await headersOf("*", "POST", { origin })).toEqual([415, {
      "access-control-allow-origin": "*",
      "access-control-expose-headers": "etag, retry-after",
    }]);
  });

  test.each([[["https://other.example.com"]], [[]], [undefined]])(
    "that is not allowed is told nothing: %j",
    async (cors) => {
      for (const [method, headers] of [["OPTIONS", preflight], ["POST", { origin }]] as const) {
        const [, found] = await headersOf(cors, method, headers);
        expect(found["access-control-allow-origin"]).toBeUndefined();
        expect(found["access-control-allow-credentials"]).toBeUndefined();
      }
    },
  );
});

describe("a database that cannot be reached", () => {
  test("is 503 to the client, and an error to onError", async () => {
    const errors: unknown[] = [];
    const url = new URL(db.url);
    url.password = "a-secret";
    for (const change of [{ port: "1" }, { pathname: "/none" }, { username: "nobody" }]) {
      const { href } = Object.assign(new URL(url), change as object);
      const sql = openHandle(href, { connect_timeout: 5 });
      const handle = gateway(sql, { authorize: everyone, onError: (error) => errors.push(error) });
      const [statement] = await statementsOf((sql) => streamVersion(sql, "a-1"));
      const response = await handle(
        new Request("http://gateway/sql", {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(statement),
        }),
      );
      expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
      expect(await response.json()).toEqual({
        type: "about:blank",
        title: "Service Unavailable",
        status: 503,
        detail: "The message store does not answer now: try again later",
      });
    }
    expect(errors).toHaveLength(3);
  });
});

test("an internal error of PostgreSQL is told from a pooler's, and is not retried", async () => {
  const category = `internal${crypto.randomUUID().slice(0, 8)}`;
  await write(db.sql, `${category}-1`, message);
  let isBroken = false;
  const sql = through(
    {},
    (strings, ...parameters) =>
      isBroken
        ? db.sql.unsafe("do $$ begin raise 'Broken' using errcode = 'XX000'; end $$")
        : db.sql(strings, ...parameters),
  );
  const ending = new AbortController();
  const options = { pollInterval: 20, onRetry: () => ending.abort(), signal: ending.signal };
  const following = (async () => {
    for await (const _ of subscribe(sql, category, options)) isBroken = true;
  })();
  await expect(following).rejects.toMatchObject({
    code: "XX000",
    message: "Broken",
    routine: "exec_stmt_raise",
  });
});

test("an onError that fails changes nothing", async () => {
  const failures = [
    () => {
      throw new Error("No log");
    },
    () => Promise.reject(new Error("No log")) as never,
  ];
  for (const onError of failures) {
    const sql = through({ onError }, () => Promise.reject(new Error("No answer")));
    await expect(streamVersion(sql, "a-1")).rejects.toMatchObject({ status: 500 });
  }
});

test("an error of a handle's own is 500, and stays with the gateway", async () => {
  const errors: unknown[] = [];
  const error = new TypeError("select secrets from postgres://user:secret@localhost");
  const sql = through({ onError: (it) => errors.push(it) }, () => Promise.reject(error));
  await expect(streamVersion(sql, "a-1")).rejects.toMatchObject({
    status: 500,
    message: "Cannot get rows from http://gateway/sql: the answer was 500, The gateway failed: " +
      "its log says why",
  });
  expect(errors).toEqual([error]);
});

describe("Neon's driver", () => {
  async function neonSql(authorize: GatewayOptions["authorize"] = everyone): Promise<Sql> {
    neonConfig.fetchEndpoint = `${await serve(gateway(db.sql, { authorize }))}/sql`;
    return neon("postgres://user:password@gateway.example.com/db", { authToken: "a-token" });
  }

  test("talks to a gateway", async () => {
    const sql = await neonSql((request) =>
      request.headers.get("authorization") === "Bearer a-token"
    );
    const stream = newStream();
    expect(await write(sql, stream, message)).toBe(0);
    expect(await write(sql, stream, { ...message, id: crypto.randomUUID() })).toBe(1);
    expect(await readStream(sql, stream)).toEqual(await readStream(db.sql, stream));
  });

  test("gets a database's errors", async () => {
    const wrong = write(await neonSql(), newStream(), message, { expectedVersion: 7 });
    await expect(wrong).rejects.toThrow(WrongExpectedVersionError);
  });

  test("shows a refusal", async () => {
    const sql = await neonSql(() => false);
    await expect(streamVersion(sql, "a-1")).rejects.toThrow(
      /HTTP status 403.*Cannot read stream \\"a-1\\": it is not allowed/,
    );
  });
});
