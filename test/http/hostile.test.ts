import { fromQuery, streamVersion, write } from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import fc from "fast-check";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { operations, variants } from "../_operations.ts";
import { serve } from "../_serve.ts";
import { until } from "../_until.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

interface Statement {
  readonly query: string;
  readonly params: readonly (string | null)[];
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array<ArrayBuffer> | null;
}

/** The first statement of every operation, with parameters that it is sent with. */
async function statements(): Promise<Statement[]> {
  const all: Statement[] = [];
  const sql = fromQuery((query, params) => {
    all.push({ query, params });
    return Promise.reject(new Error("Taken"));
  });
  for (const operation of [...Object.values(operations), ...Object.values(variants)]) {
    await operation(sql).catch(() => {});
  }
  return all;
}

const strange: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.integer().map(String),
  fc.double().map(String),
  fc.json(),
  fc.uuid(),
  fc.constantFrom(
    ...[
      "",
      " ",
      "-",
      "$all",
      "$all-1",
      "a-",
      "-1",
      "a-1",
      "a",
      "%",
      "_",
      "\\",
      "%\\",
      "\0",
      "a-\0",
    ],
    ...["\ud800", "a-\udfff", "null", "true", "[]", "{}", "[null]", '[{"stream_name":null}]'],
    ...["-1", "-2", "0", "1e3", "0x10", "NaN", "Infinity", "9007199254740991", "9007199254740993"],
    ...["9223372036854775807", "99999999999999999999", "'; drop table messages; --", "${1}", "$1"],
    ...["__proto__", "constructor", "../../etc/passwd", "a-%00", "%ff", "a-".repeat(5000)],
    ...["[".repeat(600), `${"[".repeat(400)}${"]".repeat(400)}`, "a-" + "x".repeat(20_000)],
    ...['{"__proto__":1}', '{"toJSON":1}', '"\\u0000"', '"\\ud800"', '{"a":1,"a":2}', "1e400"],
  ),
);

const bytes = fc.uint8Array({ maxLength: 50 }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>;

const headers: fc.Arbitrary<Record<string, string>> = fc.record({
  "content-type": fc.constantFrom(
    "application/json",
    "application/json; charset=utf-8",
    "text/html",
  ),
  "content-length": fc.constantFrom("0", "5", "-1", "1e9", "99999999999"),
  "content-encoding": fc.constantFrom("gzip", "identity"),
  accept: fc.constantFrom("*/*", "application/json", "text/html", "text/event-stream"),
  "messagedb-client-version": fc.constantFrom("0.1.0", "9", "<script>", "x".repeat(100)),
  "neon-connection-string": fc.constant("postgres://user:secret@host/db"),
  "neon-array-mode": fc.constantFrom("true", "false"),
  "expected-version": fc.constantFrom("-1", "0", "-2", "x", "1e3", "9007199254740993", ""),
  "idempotency-key": fc.constantFrom("a", '"a"', "x".repeat(300), ""),
  "last-event-id": fc.constantFrom("0", "-1", "x", "9007199254740993", ""),
  origin: fc.constantFrom("https://example.com", "null"),
}, { requiredKeys: [] }) as fc.Arbitrary<Record<string, string>>;

function rarely<T>(usual: T, odd: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ arbitrary: fc.constant(usual), weight: 9 }, { arbitrary: odd, weight: 1 });
}

/** A statement with some of its values changed, everywhere that they are or in one place. */
function changedStatements(all: readonly Statement[]): fc.Arbitrary<string> {
  return fc.record({
    statement: fc.constantFrom(...all),
    changes: fc.array(fc.tuple(fc.nat(20), fc.option(strange)), { maxLength: 2 }),
    everywhere: fc.boolean(),
    length: rarely<number | null>(null, fc.nat(20)),
    query: rarely<string | null>(null, strange),
  }).map(({ statement, changes, everywhere, length, query }) => {
    let params: unknown[] = [...statement.params];
    for (const [number, value] of changes) {
      const changed = number % Math.max(params.length, 1);
      params = params.map((param, at) =>
        at === changed || (everywhere && param === params[changed]) ? value : param
      );
    }
    if (length !== null) params.length = length;
    return JSON.stringify({ query: query ?? statement.query, params });
  });
}

const message = fc.record({
  type: rarely("Written", strange),
  data: fc.oneof(fc.jsonValue(), strange),
  metadata: fc.oneof(fc.constant(null), fc.dictionary(strange, fc.jsonValue()), fc.jsonValue()),
  id: fc.oneof(fc.uuid(), strange),
}, { requiredKeys: ["type"] });

const oddMessage = fc.tuple(
  message,
  fc.dictionary(fc.constantFrom("expectedVersion", "x"), strange),
)
  .map(([message, odd]) => ({ ...message, ...odd }));

const appended = fc.oneof(
  message,
  oddMessage,
  fc.record({ messages: fc.oneof(fc.array(message), fc.json()), expectedVersion: fc.integer() }, {
    requiredKeys: ["messages"],
  }),
).map((it) => JSON.stringify(it));

const encoded = fc.oneof(fc.constantFrom("a-1", "a", "account-1", "known-1"), strange).map((it) => {
  try {
    return encodeURIComponent(it);
  } catch {
    return "%";
  }
});

const parameters = fc.record({
  position: fc.oneof(fc.nat(9).map(String), strange),
  batchSize: fc.oneof(fc.nat(9).map(String), strange),
  direction: fc.constantFrom("forward", "backward", "up"),
  correlation: strange,
  member: fc.oneof(fc.nat(9).map(String), strange),
  size: fc.oneof(fc.nat(9).map(String), strange),
  type: strange,
  other: strange,
}, { requiredKeys: [] }).map((it) => `?${new URLSearchParams(it as Record<string, string>)}`);

function hostileRequests(all: readonly Statement[]): fc.Arbitrary<Sent> {
  const json = { "content-type": "application/json" };
  const odd = fc.oneof(fc.json(), strange, bytes);
  const methods = fc.constantFrom("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD");
  const paths = fc.constantFrom(
    ...["/streams/NAME", "/streams/NAME/messages", "/streams/NAME/messages/last", "/messages"],
    ...["/categories/NAME/messages", "/messages/NAME", "/openapi.json", "/NAME", "/streams"],
  );
  const path = fc.tuple(paths, encoded, fc.oneof(fc.constant(""), parameters))
    .map(([path, name, query]) => path.replace("NAME", () => name) + query);
  return fc.oneof(
    fc.record({
      path: fc.constant("/sql"),
      method: rarely("POST", methods),
      headers: rarely({ ...json }, headers),
      body: fc.oneof({ arbitrary: changedStatements(all), weight: 9 }, odd),
    }),
    fc.record({
      path: rarely("a-1", encoded).map((name) => `/streams/${name}/messages`),
      method: rarely("POST", methods),
      headers: rarely({ ...json }, headers),
      body: fc.oneof({ arbitrary: appended, weight: 9 }, odd),
    }),
    fc.record({
      path,
      method: rarely("GET", methods),
      headers: fc.oneof(fc.constant({}), headers),
      body: odd,
    }),
  ).map((it) => ({ ...it, body: /GET|HEAD/.test(it.method) ? null : it.body }));
}

/** What an answer may never hold: where code or the database is, SQL, and who connects how. */
const SECRET =
  /postgres:\/\/|node_modules|\.ts:\d|\bat \S+ \(|message_store\.|pg_catalog|select .* from /is;

describe("10,000 hostile requests", () => {
  test.each([
    ["where nothing may be written", false],
    ["where everything is allowed", true],
  ])("get a 2xx or a 4xx that says why, %s", async (_, writes) => {
    const connection = { role: "message_store", application_name: "hostile" };
    const sql = db.connect({ max: 4, connection });
    const errors: unknown[] = [];
    const handle = gateway(sql, {
      authorize: (_, call) => writes || !call.writes,
      onError: (error) => errors.push(error),
    });
    const all = await statements();
    const count = () => db.sql`select count(*) from message_store.messages`;
    const before = await count();
    const statuses: Record<number, number> = {};
    await fc.assert(
      fc.asyncProperty(hostileRequests(all), async ({ path, ...init }) => {
        const response = await handle(new Request(`http://gateway${path}`, init));
        const { status } = response;
        statuses[status] = (statuses[status] ?? 0) + 1;
        const isLive = response.headers.get("content-type") === "text/event-stream";
        if (isLive) await response.body?.cancel();
        const body = isLive ? "" : await response.text();
        expect(errors).toEqual([]);
        expect(status).toBeLessThan(500);
        if (status < 400) return;
        const { title, detail, message } = JSON.parse(body);
        expect((title && detail) || message, body).toBeTruthy();
        // An answer may quote what the address says.
        const address = [...new URLSearchParams(path)].join();
        if (!SECRET.test(address)) expect(body).not.toMatch(SECRET);
      }),
      { numRuns: 10_000 },
    );
    console.log(statuses);
    expect((await count())[0]!["count"] === before[0]!["count"]).toBe(!writes);
    const busy = await db.sql`
      select state, query from pg_stat_activity
      where application_name = 'hostile' and state <> 'idle'`;
    expect([...busy]).toEqual([]);
    expect(await write(sql, `after-${writes}`, { type: "Written" })).toBe(0);
  });
});

describe("a client by socket", () => {
  const head = [
    "POST /sql HTTP/1.1",
    "host: gateway",
    "content-type: application/json",
    "content-length: 1000",
    "",
    "",
  ].join("\r\n");

  /** Connects, and sends the head of a request and a beginning of its body. */
  async function begin(url: string): Promise<Socket> {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    onTestFinished(() => void socket.destroy());
    await once(socket, "connect");
    socket.write(`${head}{"query":`);
    return socket;
  }

  test.each([
    ["stops", undefined],
    ["drips", 200],
  ])("whose body %s gets 408, and its connection is closed", async (_, interval) => {
    const socket = await begin(await serve(gateway(db.sql, { authorize: () => true })));
    const timer = interval && setInterval(() => socket.write(" "), interval);
    onTestFinished(() => clearInterval(timer));
    const answer = once(socket, "data");
    expect(String(await answer)).toMatch(/^HTTP\/1\.1 408 /);
    await once(socket, "close");
  });

  test.each(["x y", "[::"])("that names a host that is none gets 400: %s", async (host) => {
    const errors: unknown[] = [];
    const handle = gateway(db.sql, {
      authorize: () => true,
      onError: (error) => errors.push(error),
    });
    // As Deno and Bun hand it on.
    const request = Object.defineProperty(new Request("http://gateway/messages"), "url", {
      value: `http://${host}/messages`,
    });
    expect((await handle(request)).status).toBe(400);
    expect(errors).toEqual([]);
  });

  test("that goes away leaves no database connection behind", async () => {
    const connection = { application_name: "left" };
    const sql = db.connect({ max: 2, connection });
    const handle = gateway(sql, { authorize: () => true });
    /** The requests of fetchSql() that have come, and how many of them are not answered yet. */
    const requests = { come: 0, underWay: 0 };
    const url = await serve(async (request) => {
      if (!request.headers.has("messagedb-client-version")) return await handle(request);
      requests.come++;
      requests.underWay++;
      return await handle(request).finally(() => requests.underWay--);
    });
    const stream = `left-${crypto.randomUUID()}`;

    for (let count = 0; count < 20; count++) (await begin(url)).destroy();

    const working = () =>
      db.sql`
        select from pg_stat_activity where application_name = 'left' and state <> 'idle'`;
    const controller = new AbortController();
    const writes = await db.sql.begin(async (holder) => {
      await write(holder, stream, { type: "Written" });
      const waiting = [1, 2, 3, 4].map(() =>
        write(fetchSql(`${url}/sql`, { signal: controller.signal }), stream, { type: "Written" })
      );
      const settled = Promise.allSettled(waiting);
      await until(async () => requests.come === 4 && (await working()).length === 2);
      controller.abort();
      return await settled;
    });
    expect(writes.map(({ status }) => status)).toEqual(Array(4).fill("rejected"));
    await until(async () => requests.underWay === 0 && (await working()).length === 0);
    const versions = [1, 2, 3].map(() => streamVersion(fetchSql(`${url}/sql`), stream));
    expect(new Set(await Promise.all(versions)).size).toBe(1);
  });
});
