import {
  append,
  messageStoreVersion,
  NO_STREAM,
  NotInstalledError,
  readAll,
  readStream,
  type Sql,
  streamVersion,
  synchronize,
  write,
  writeBatch,
  writeStreams,
  WrongExpectedVersionError,
} from "@messagedb/client";
import { fetchSql, FetchSqlError, type FetchSqlOptions } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import { getEventListeners } from "node:events";
import { createServer } from "node:net";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { type Handler, serve } from "../_serve.ts";
import { useDatabase } from "../database.ts";
import { startNeonBridge } from "../runtimes/neon_bridge.ts";

const db = useDatabase();
const message = { type: "Written" };
const newStream = () => `a-${crypto.randomUUID()}`;

/** A handle to a gateway that meets a trouble at each of its first requests, and the requests so far. */
async function troubled(
  troubles: readonly Handler[],
  options: FetchSqlOptions = {},
): Promise<{ sql: Sql; requests: Date[] }> {
  const requests: Date[] = [];
  const handle = gateway(db.sql, { authorize: () => true });
  const url = await serve((request, connection) => {
    const trouble = troubles[requests.length];
    requests.push(new Date());
    return trouble ? trouble(request, connection) : handle(request);
  });
  return { sql: fetchSql(`${url}/sql`, options), requests };
}

/** Runs the statement, and breaks the connection before the answer. */
const loseAnswer: Handler = async (request, { incoming }) => {
  const response = await gateway(db.sql, { authorize: () => true })(request);
  expect(response.status).toBe(200);
  incoming.socket.destroy();
  return response;
};

const breakOff: Handler = (_, { incoming }) => {
  incoming.socket.destroy();
  return new Response();
};

const hang: Handler = () => new Promise(() => {});

const stall: Handler = () =>
  new Response(
    new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([0x7b])) }),
  );

function answer(status: number, headers: HeadersInit = {}, body = "<h1>Oh</h1>"): Handler {
  return () => new Response(body, { status, headers });
}

function failureOf(promise: Promise<unknown>): Promise<FetchSqlError> {
  return promise.then(
    () => expect.fail("it did not fail"),
    (error) => {
      expect(error).toBeInstanceOf(FetchSqlError);
      return error;
    },
  );
}

describe("what is sent again when the answer was lost is written once, and answers as the first did:", () => {
  const known = { ...message, id: crypto.randomUUID() };
  const writes: Record<string, (sql: Sql, stream: string) => Promise<unknown>> = {
    "write()": (sql, stream) => write(sql, stream, message),
    "write() at a version": (sql, stream) =>
      write(sql, stream, message, { expectedVersion: NO_STREAM }),
    "write() with an id": (sql, stream) => write(sql, stream, known),
    "writeBatch()": async (sql, stream) =>
      await writeBatch(sql, stream, [message], { expectedVersion: NO_STREAM }),
    "append()": async (sql, stream) => (await append(sql, stream, message)).position,
    "writeStreams()": async (sql, streamName) =>
      (await writeStreams(sql, [{ streamName, messages: [message] }]))[0],
    "synchronize()": (sql, stream) =>
      synchronize(sql, stream, [{ ...message, id: crypto.randomUUID() }]),
  };
  test.each(Object.entries(writes))("%s", async (_, write) => {
    const { sql, requests } = await troubled([loseAnswer, loseAnswer, loseAnswer]);
    const stream = newStream();
    expect(await write(sql, stream)).toBe(0);
    expect(requests).toHaveLength(4);
    expect(await streamVersion(db.sql, stream)).toBe(0);
  });
});

test.each([
  ["a connection that breaks", loseAnswer],
  ["a server that is too slow", hang],
  ["an answer that stops halfway", stall],
  ["408", answer(408)],
  ["425", answer(425)],
  ["429", answer(429)],
  ["502", answer(502)],
  ["503", answer(503)],
  ["504", answer(504)],
])("an operation goes on after %s", async (_, trouble) => {
  const { sql, requests } = await troubled([trouble], { timeout: 500 });
  expect(await messageStoreVersion(sql)).toBe("1.3.0");
  expect(requests).toHaveLength(2);
});

test.each([
  ["a connection that breaks", loseAnswer, "network", null],
  ["a server that is too slow", hang, "timeout", null],
  ["503", answer(503), "status", 503],
])("an operation ends after six times %s", async (_, trouble, reason, status) => {
  const { sql, requests } = await troubled(Array(9).fill(trouble), { timeout: 100 });
  const error = await failureOf(messageStoreVersion(sql));
  expect([error.reason, error.status, requests.length]).toEqual([reason, status, 6]);
});

test.each(
  [
    ["a connection that breaks", breakOff],
    ["503", answer(503)],
  ] satisfies [string, Handler][],
)("another's statement is sent once, and not again after %s", async (_, trouble) => {
  const { sql, requests } = await troubled([trouble]);
  await failureOf(Promise.resolve(sql`select 1`));
  expect(requests).toHaveLength(1);
});

test.each([
  [400, "the answer was 400, Bad Request"],
  [403, "the answer was 403, Forbidden"],
  [404, "the answer was 404, Not Found"],
  [500, "the answer was 500, Internal Server Error"],
])("%d is said, and not tried again", async (status, what) => {
  const { sql, requests } = await troubled([answer(status)]);
  const error = await failureOf(messageStoreVersion(sql));
  expect(error.message).toMatch(/^Cannot get rows from http:\/\/127\.0\.0\.1:\d+\/sql: /);
  expect(error.message).toContain(what);
  expect([error.code, error.reason, error.status]).toEqual(["FETCH_FAILED", "status", status]);
  expect(requests).toHaveLength(1);
});

test("a problem document is quoted", async () => {
  const sql = fetchSql("http://gateway/sql", {
    fetch: (url, init) => gateway(db.sql, { authorize: () => false })(new Request(url, init)),
  });
  const { message } = await failureOf(streamVersion(sql, "account-1"));
  expect(message).toBe(
    "Cannot get rows from http://gateway/sql: the answer was 403, " +
      'Cannot read stream "account-1": it is not allowed',
  );
});

test.each(["", "<h1>Welcome</h1>", "null", "7", "[]", "{}", '{"rows":null}', '{"rows":{}}'])(
  "an answer that is not rows is said, and not asked for again: %s",
  async (body) => {
    const { sql, requests } = await troubled([answer(200, {}, body)]);
    const error = await failureOf(messageStoreVersion(sql));
    expect(error.reason).toBe("body");
    expect(error.message).toMatch(/the answer was something else than rows in JSON$/);
    expect(requests).toHaveLength(1);
  },
);

test("rows of another shape are no silent answer", async () => {
  for (const body of ['{"rows":[]}', '{"rows":[7]}', '{"rows":[{"json":7}]}', '{"rows":[null]}']) {
    const { sql } = await troubled([answer(200, {}, body)]);
    await expect(messageStoreVersion(sql)).rejects.toThrow("Cannot use what the handle answered");
  }
});

describe("Retry-After", () => {
  test.each([
    ["seconds", () => "1"],
    ["a date", () => new Date(Date.now() + 2000).toUTCString()],
  ])("is waited for: %s", async (_, retryAfter) => {
    const { sql, requests } = await troubled([answer(429, { "retry-after": retryAfter() })]);
    await messageStoreVersion(sql);
    expect(requests[1]!.getTime() - requests[0]!.getTime()).toBeGreaterThanOrEqual(950);
  });

  test("that is too long is said, and not waited for", async () => {
    const { sql, requests } = await troubled([answer(503, { "retry-after": "3600" })]);
    const error = await failureOf(messageStoreVersion(sql));
    expect([error.retryAfter, requests.length]).toEqual([3600, 1]);
  });

  test.each(["soon", "-5", "Thu, 01 Jan 1970 00:00:00 GMT"])(
    "of no use changes nothing: %s",
    async (retryAfter) => {
      const { sql, requests } = await troubled([answer(503, { "retry-after": retryAfter })]);
      await messageStoreVersion(sql);
      expect(requests).toHaveLength(2);
    },
  );
});

describe("the signal", () => {
  const reason = new Error("Enough");

  test("ends what is under way", async () => {
    const controller = new AbortController();
    const { sql, requests } = await troubled([
      () => {
        controller.abort(reason);
        return new Promise(() => {});
      },
    ], { signal: controller.signal });
    await expect(messageStoreVersion(sql)).rejects.toBe(reason);
    expect(requests).toHaveLength(1);
  });

  test("ends the wait before the next try", async () => {
    const controller = new AbortController();
    const { sql, requests } = await troubled([answer(429, { "retry-after": "20" })], {
      signal: controller.signal,
      fetch: async (url, init) => {
        const response = await fetch(url, init);
        setTimeout(() => controller.abort(reason), 50);
        return response;
      },
    });
    await expect(messageStoreVersion(sql)).rejects.toBe(reason);
    expect(requests).toHaveLength(1);
  });

  test("refuses what comes after", async () => {
    const { sql, requests } = await troubled([], { signal: AbortSignal.abort(reason) });
    await expect(messageStoreVersion(sql)).rejects.toBe(reason);
    expect(requests).toHaveLength(0);
  });
});

test("an error of the database is the same as over TCP", async () => {
  const { sql } = await troubled([]);
  const stream = newStream();
  await write(sql, stream, message);
  const overHttp = write(sql, stream, message, { expectedVersion: NO_STREAM });
  const overTcp = write(db.sql, stream, message, { expectedVersion: NO_STREAM });
  const [http, tcp] = await Promise.all(
    [overHttp, overTcp].map((it) =>
      it.then(() => expect.fail("it did not fail"), (error) => error)
    ),
  );
  expect(http).toBeInstanceOf(WrongExpectedVersionError);
  expect({ ...http }).toEqual({ ...tcp });
  expect(http.message).toBe(tcp.message);
  expect(http.cause.code).toBe(tcp.cause.code);
});

test("requests carry the headers, JSON and the version of the client", async () => {
  let seen: Request | undefined;
  const sql = fetchSql("http://gateway/sql?tenant=7", {
    headers: { authorization: "Bearer 1", "content-type": "text/plain" },
    fetch: (url, init) => {
      seen = new Request(url, init);
      return Promise.resolve(Response.json({ rows: [{ json: '"1.3.0"' }] }));
    },
  });
  await messageStoreVersion(sql);
  expect(seen!.url).toBe("http://gateway/sql?tenant=7");
  expect(Object.fromEntries(seen!.headers)).toEqual({
    authorization: "Bearer 1",
    "content-type": "application/json",
    "messagedb-client-version": packageJson.version,
  });
});

test.each([301, 302, 303, 307, 308])(
  "a redirect of %d is not followed: another address gets no statement and no header",
  async (status) => {
    let reached = 0;
    const other = await serve(() => Response.json({ rows: [], reached: ++reached }));
    const { sql, requests } = await troubled([answer(status, { location: `${other}/sql` })]);
    const error = await failureOf(messageStoreVersion(sql));
    expect([error.status, requests.length, reached]).toEqual([status, 1, 0]);
    expect(error.message).toMatch(/the answer was a redirect, which is not followed$/);
  },
);

test("a fetch that does not look at its signal is not waited for", async () => {
  const never = () => new Promise<never>(() => {});
  const late = fetchSql("http://gateway/sql", { timeout: 5, fetch: never });
  expect((await failureOf(messageStoreVersion(late))).reason).toBe("timeout");
  const reason = new Error("Enough");
  const controller = new AbortController();
  const aborted = fetchSql("http://gateway/sql", { signal: controller.signal, fetch: never });
  const version = messageStoreVersion(aborted);
  controller.abort(reason);
  await expect(version).rejects.toBe(reason);
});

test("a handle listens once to its signal while anything is under way, and then not at all", async () => {
  const { signal } = new AbortController();
  const counts: number[] = [];
  const sql = fetchSql("http://gateway/sql", {
    signal,
    fetch: (url, init) => {
      counts.push(getEventListeners(signal, "abort").length);
      return gateway(db.sql, { authorize: () => true })(new Request(url, init));
    },
  });
  await Promise.all(Array.from({ length: 20 }, () => messageStoreVersion(sql)));
  expect(counts).toEqual(Array(20).fill(1));
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
});

test("the wait before the next try varies", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.999);
  onTestFinished(() => void vi.restoreAllMocks());
  const { sql, requests } = await troubled([answer(503)]);
  await messageStoreVersion(sql);
  // 100 ms, and half of that more or less.
  expect(requests[1]!.getTime() - requests[0]!.getTime()).toBeGreaterThanOrEqual(145);
});

test("a 400 that is no error of a database is a status like any other", async () => {
  const body = JSON.stringify({ code: "BAD_REQUEST", message: "No such tenant" });
  const { sql } = await troubled([answer(400, {}, body)]);
  const error = await failureOf(messageStoreVersion(sql));
  expect(error.message).toMatch(/\/sql: the answer was 400, No such tenant$/);
});

test("what a fetch of one's own throws is said, whatever it is", async () => {
  for (const thrown of [undefined, null, "down", new Error("No token")]) {
    const sql = fetchSql("http://gateway/sql", { fetch: () => Promise.reject(thrown) });
    const error = await failureOf(Promise.resolve(sql`select 1`));
    const what = thrown instanceof Error ? thrown.message : String(thrown);
    expect([error.reason, error.cause]).toEqual(["network", thrown]);
    expect(error.message).toContain(`the network failed (${what})`);
  }
});

test("a server that is not there is said, with what the runtime says", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  const error = await failureOf(
    messageStoreVersion(fetchSql(`http://127.0.0.1:${port}/sql?key=1`)),
  );
  expect(error.message).toBe(
    `Cannot get rows from http://127.0.0.1:${port}/sql: ` +
      `the network failed (connect ECONNREFUSED 127.0.0.1:${port})`,
  );
  expect([error.reason, error.url]).toEqual(["network", `http://127.0.0.1:${port}/sql`]);
  expect(error.cause).toBeInstanceOf(TypeError);
});

test.each([
  ...["/sql", "gateway", "", "ftp://gateway/sql"],
  ...["postgres://user:secret@localhost/db", "https://user:secret@gateway/sql", "https://user@a/"],
])(
  "an address that is none is refused and not shown: %j",
  (url) => {
    expect(() => fetchSql(url)).toThrow(
      new TypeError(
        'Cannot use this "url": it must be an address of http or https, without a password in it',
      ),
    );
  },
);

test("options that are none are refused", () => {
  const url = "http://gateway/sql";
  expect(() => fetchSql(url, { timeout: 0 })).toThrow(RangeError);
  expect(() => fetchSql(url, { timeout: "5" as never })).toThrow(TypeError);
  expect(() => fetchSql(url, null as never)).toThrow(TypeError);
});

describe("an endpoint of Neon's protocol", () => {
  async function neonSql(connectionString = db.url): Promise<Sql> {
    const { endpoint, close } = await startNeonBridge();
    onTestFinished(close);
    return fetchSql(endpoint, { headers: { "neon-connection-string": connectionString } });
  }

  test("takes the operations", async () => {
    const sql = await neonSql();
    const stream = newStream();
    await writeBatch(sql, stream, [message, { ...message, data: { a: [1, null, "ü"] } }]);
    expect(await readStream(sql, stream)).toEqual(await readStream(db.sql, stream));
    expect(await readAll(sql)).toEqual(await readAll(db.sql));
    const wrong = write(sql, stream, message, { expectedVersion: 5 });
    await expect(wrong).rejects.toMatchObject({ streamName: stream, actualVersion: 1 });
  });

  test("takes statements of one's own", async () => {
    const sql = await neonSql();
    expect(await sql`select ${"a"}::text as a, ${null}::text as b`).toEqual([{ a: "a", b: null }]);
    await expect(sql`select 1 / ${"0"}::text::int`).rejects.toMatchObject({
      name: "PostgresError",
      message: "division by zero",
      code: "22012",
    });
  });

  test("without Message DB is NotInstalledError", async () => {
    const sql = await neonSql(db.url.replace(/[^/]+$/, "postgres"));
    await expect(messageStoreVersion(sql)).rejects.toThrow(NotInstalledError);
  });
});
