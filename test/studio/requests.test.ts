import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { drain, fromQuery, type Sql, write, writeBatch } from "../../mod.ts";
import { fetchSql } from "../../src/http/fetch_sql.ts";
import { gateway } from "../../src/http/gateway.ts";
import { ASSETS, PAGE } from "../../src/studio/_assets.ts";
import { studio, type StudioCall, type StudioOptions } from "../../src/studio/studio.ts";
import { useDatabase } from "../database.ts";
import { until } from "../_until.ts";
import { pageHeaders, type TestStudio, testStudio } from "./_ask.ts";

const db = useDatabase();
const id = crypto.randomUUID();

beforeAll(async () => {
  await write(db.sql, "account-1", { id, type: "Opened", data: { holder: "Ada" } });
});

const SAFE = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
    "img-src 'self' data:; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; " +
    "form-action 'none'",
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

const nothing = (): void => {};

describe("each answer has the headers that keep it safe:", () => {
  const asked = testStudio(db, { authorize: (_, { operation }) => operation !== "diagnose" });
  const redirecting = testStudio(db, {
    authorize: () => Response.redirect("https://login.example/"),
  });

  test.each<[string, number, () => Promise<{ status: number; headers: Headers }>, string]>([
    ["the page", 200, () => asked.send("/"), "text/html; charset=utf-8"],
    ["a view", 200, () => asked.send("/streams/a-1?text=x"), "text/html; charset=utf-8"],
    ["an operation", 200, () => asked.ask("open"), "application/json"],
    ["a file", 200, () => asked.send(`/api/messages/${id}`), "application/json"],
    ["a refusal", 403, () => asked.ask("diagnose"), "application/problem+json"],
    ["what is not there", 404, () => asked.ask("toString"), "application/problem+json"],
    ["another method", 405, () => asked.send("/", { method: "PUT" }), "application/problem+json"],
    ["bad arguments", 422, () => asked.ask("readMessage"), "application/problem+json"],
  ])("%s", async (_, status, send, type) => {
    const answer = await send();
    expect(answer.status).toBe(status);
    const headers = Object.fromEntries(answer.headers);
    delete headers["content-disposition"];
    delete headers["allow"];
    expect(headers).toEqual({ ...SAFE, "content-type": type, "cache-control": "no-store" });
  });

  test("a redirect of authorize()", async () => {
    const { status, headers } = await redirecting.send("/");
    expect(status).toBe(302);
    expect(Object.fromEntries(headers))
      .toEqual({ ...SAFE, "location": "https://login.example/", "cache-control": "no-store" });
  });

  test.each(Object.keys(ASSETS))("the asset %s, which is kept for ever", async (name) => {
    const { status, headers, text } = await asked.send(`/assets/${name}`);
    const kept = {
      "cache-control": "private, max-age=31536000, immutable",
      etag: `W/"${name}"`,
      vary: "accept-encoding",
    };
    const type = `${ASSETS[name]!.type}; charset=utf-8`;
    expect(status).toBe(200);
    expect(Object.fromEntries(headers)).toEqual({ ...SAFE, ...kept, "content-type": type });
    expect(text).toBe(ASSETS[name]!.text);
    for (const known of [`"${name}"`, `W/"${name}"`, `"a", "${name}"`, "*"]) {
      const again = await asked.send(`/assets/${name}`, { headers: { "if-none-match": known } });
      expect([again.status, again.text, again.headers.get("etag")]).toEqual([304, "", kept.etag]);
    }
    const changed = await asked.send(`/assets/${name}`, { headers: { "if-none-match": '"b"' } });
    expect(changed.status).toBe(200);
    const head = await asked.send(`/assets/${name}`, { method: "HEAD" });
    expect([head.status, head.text, head.headers.get("etag")]).toEqual([200, "", kept.etag]);
  });
});

test.each([
  ["gzip", true],
  ["gzip, deflate, br, zstd", true],
  ["br;q=1.0, gzip;q=0.8, *;q=0.1", true],
  ["br, gzip;q=0", false],
  ["gzip; q=0.000, br", false],
  ["br", false],
  ["identity", false],
])("an asset is compressed for who takes %s: %s", async (accepted, isCompressed) => {
  const url = `http://studio/assets/${PAGE.script}`;
  const answer = await testStudio(db).handle(
    new Request(url, { headers: { "accept-encoding": accepted } }),
  );
  expect(answer.headers.get("content-encoding")).toBe(isCompressed ? "gzip" : null);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const { text } = ASSETS[PAGE.script]!;
  expect(isCompressed ? gunzipSync(bytes).toString() : new TextDecoder().decode(bytes)).toBe(text);
});

describe("the page", () => {
  test.each([[undefined, ""], ["/", ""], ["/studio", "/studio"], ["/studio/", "/studio"], [
    "/a/b'&%22",
    "/a/b&#39;&#38;%22",
  ]])("is at basePath %s", async (basePath, base) => {
    const asked = testStudio(db, { basePath });
    const path = (basePath ?? "").replace(/\/$/, "");
    for (const view of [path || "/", `${path}/`, `${path}/streams/a%2F1?x=1`]) {
      const { status, text } = await asked.send(view);
      expect(status).toBe(200);
      expect(text).toContain(`<html lang="en" data-base="${base}">`);
      expect(text).toContain(`src="${base}/assets/${PAGE.script}"`);
      // No script or style of its own, which the policy would forbid.
      expect(text).not.toMatch(/<script[^>]*>[^<]|<style|\sstyle=|\son\w+=/);
    }
    expect((await asked.send(`${path}/assets/${PAGE.script}`)).status).toBe(200);
    expect((await asked.ask("open")).status).toBe(200);
  });

  test("is at no path beside its own", async () => {
    const asked = testStudio(db, { basePath: "/studio" });
    for (const path of ["/", "/studios", "/studi", "/x/studio/", "/api/open", "/studio.html"]) {
      expect((await asked.send(path)).status, path).toBe(404);
    }
  });

  test("has no file that it has not", async () => {
    const asked = testStudio(db);
    for (const name of ["", "none.js", "__proto__", "toString", "..%2f..%2fpackage.json"]) {
      expect((await asked.send(`/assets/${name}`)).status, name).toBe(404);
    }
  });

  test.each([
    [{}, "authorize"],
    [{ authorize: true }, "authorize"],
    [{ authorize: nothing, basePath: "studio" }, "basePath"],
    [{ authorize: nothing, basePath: "/a b" }, "basePath"],
    [{ authorize: nothing, basePath: "/a//" }, "basePath"],
    [{ authorize: nothing, basePath: "/a?b" }, "basePath"],
    [{ authorize: nothing, readOnly: "no" }, "readOnly"],
    [{ authorize: nothing, entities: [{}] }, "init"],
    [{ authorize: nothing, consumers: [{ category: "a", consumerId: "b" }] }, "hand"],
    [{ authorize: nothing, signal: 1 }, "signal"],
    [{ authorize: nothing, onError: 1 }, "onError"],
    [{ authorize: nothing, read_only: false }, "read_only"],
  ])("is not made with %j", (options, words) => {
    expect(() => studio(db.sql, options as unknown as StudioOptions)).toThrow(words);
  });
});

describe("a request of another site is refused", () => {
  const asked = testStudio(db, { readOnly: false });
  const body = JSON.stringify({ streamName: "forged-1", type: "Forged" });

  test.each([
    ["by what the browser says", { "sec-fetch-site": "cross-site" }, 403],
    ["of the same site only", { "sec-fetch-site": "same-site" }, 403],
    ["by an address that was typed", { "sec-fetch-site": "none" }, 403],
    ["by its origin", { origin: "https://evil.example", "sec-fetch-site": null }, 403],
    ["by its port", { origin: "http://studio:81", "sec-fetch-site": null }, 403],
    ["of no origin", { origin: "null", "sec-fetch-site": null }, 403],
    ["without the header of the page", { "x-messagedb-studio": null }, 403],
    ["with another header of the page", { "x-messagedb-studio": "2" }, 403],
    ["as a form", { "content-type": "text/plain" }, 415],
    ["as another form", { "content-type": "application/x-www-form-urlencoded" }, 415],
    ["without a type", { "content-type": null }, 415],
  ])("%s", async (_, headers, status) => {
    const answer = await asked.send("/api/write", {
      method: "POST",
      headers: pageHeaders(headers),
      body: new TextEncoder().encode(body),
    });
    expect(answer.status).toBe(status);
    if (status === 403) expect(answer.body.code).toBe("FOREIGN_REQUEST");
    const { body: found } = await asked.ask("findMessages", { source: "forged-1" });
    expect(found.messages).toEqual([]);
  });

  test("also if it wants a file, but not an address that was typed", async () => {
    for (
      const [site, status] of [["cross-site", 403], ["same-site", 403], ["none", 200]] as const
    ) {
      const answer = await asked.send(`/api/messages/${id}`, {
        headers: { "sec-fetch-site": site },
      });
      expect(answer.status, site).toBe(status);
    }
  });

  test("and no other site may ask beforehand", async () => {
    const { status, headers } = await asked.send("/api/write", {
      method: "OPTIONS",
      headers: { "origin": "https://evil.example", "access-control-request-method": "POST" },
    });
    expect(status).toBe(405);
    expect([...headers.keys()].filter((it) => it.startsWith("access-control"))).toEqual([]);
  });

  test("but not one of the page through a proxy that takes the TLS off", async () => {
    const headers = pageHeaders({ "sec-fetch-site": null, origin: "https://studio" });
    expect((await asked.ask("open", {}, { headers })).status).toBe(200);
    const old = pageHeaders({ "sec-fetch-site": null, origin: null });
    expect((await asked.ask("open", {}, { headers: old })).status).toBe(200);
  });
});

const consumer = { category: "account", consumerId: "it" };
const ofConsumer = { ...consumer, aggregate: undefined, consumerGroup: undefined };
const pass = { consumer, id, reason: "r" };
const stream = { streamName: "account-1", category: "account" };
const since = "2026-01-01T00:00:00Z";

/** Each operation, what it is given, and what authorize() is told. */
const CALLS: readonly [string, object, object, writes?: true][] = [
  ["open", {}, {}],
  ["pulse", {}, {}],
  ["storeStatus", {}, {}],
  ["activity", { since, until: "2026-01-02T00:00:00Z", buckets: 2 }, {}],
  ["consumers", {}, {}],
  ["diagnose", {}, {}],
  ["streams", { category: "account" }, { category: "account" }],
  ["messageTypes", { category: "account" }, { category: "account" }],
  ["messageTypes", {}, { category: undefined }],
  ["findMessages", { source: "$all" }, {}],
  ["findMessages", { source: "account", own: false }, { category: "account" }],
  ["findMessages", { source: "account-1" }, stream],
  ["readMessage", { id }, { ids: [id] }],
  ["trace", { id }, { ids: [id] }],
  ["trace", { streamName: "account-1" }, {}],
  ["states", { streamName: "account-1" }, stream],
  ["parked", { consumer }, ofConsumer],
  ["planRewind", { consumer, position: 1 }, ofConsumer],
  ["nextMessage", { consumer }, ofConsumer],
  ["readAggregate", { name: "ledger" }, { aggregate: "ledger" }],
  ["replayParked", { consumer, ids: [id] }, { ...ofConsumer, ids: [id] }, true],
  ["discardParked", { consumer, ids: [id], reason: "r" }, { ...ofConsumer, ids: [id] }, true],
  ["rewind", { consumer, position: 1 }, ofConsumer, true],
  ["skip", pass, { ...ofConsumer, ids: [id] }, true],
  ["park", pass, { ...ofConsumer, ids: [id] }, true],
  ["write", { streamName: "account-1", type: "A" }, { ...stream, type: "A" }, true],
];

describe("authorize()", () => {
  test.each(CALLS)(
    "is asked of %s %j, and may refuse it",
    async (operation, given, told, writes) => {
      const statements: string[] = [];
      const sql = fromQuery((text, parameters) => {
        statements.push(text);
        return db.sql.unsafe(text, parameters);
      });
      const calls: StudioCall[] = [];
      let allowed: unknown = false;
      const asked = testStudio({ sql }, {
        readOnly: false,
        authorize: (_, call) => {
          calls.push(call);
          return allowed as boolean;
        },
      });
      // Nothing but true is a yes.
      for (allowed of [false, undefined, 1, "yes", {}, Promise.resolve(false)]) {
        const { status, body } = await asked.ask(operation, given);
        expect([status, body.title]).toEqual([403, "Forbidden"]);
      }
      expect(statements).toEqual([]);
      allowed = Promise.resolve(true);
      const { status } = await asked.ask(operation, given);
      expect([200, 422]).toContain(status);
      // open tells which changes are allowed.
      if (operation === "open") expect(calls.splice(-6).every(({ writes }) => writes)).toBe(true);
      for (const call of calls) {
        expect(call).toEqual({
          operation,
          writes: writes === true,
          ...told,
        });
      }
    },
  );

  test("is asked which changes the page may offer", async () => {
    const told: unknown[] = [];
    const options: Partial<StudioOptions> = {
      authorize: (_, { operation, writes, consumerId }) => {
        if (operation === "park") throw new Error("no token");
        if (operation === "skip") return Response.redirect("https://login.example/");
        return !writes || operation === "write" || operation === "rewind" && !consumerId;
      },
      onError: (error) => told.push(error),
    };
    const writing = testStudio(db, { ...options, readOnly: false });
    expect((await writing.ask("open")).body).toMatchObject({ may: ["rewind", "write"] });
    expect(told).toMatchObject([{ message: "no token" }]);
    expect((await testStudio(db, options).ask("open")).body).toMatchObject({ may: [] });
  });

  test("is not asked of what writes, if the studio only reads", async () => {
    const calls: StudioCall[] = [];
    const asked = testStudio(db, { authorize: (_, call) => calls.push(call) > 0 });
    for (const [operation, given, , writes] of CALLS) {
      if (!writes) continue;
      const { status, body } = await asked.ask(operation, given);
      expect([status, body.code]).toEqual([403, "READ_ONLY"]);
    }
    expect(calls).toEqual([]);
    const source = "read-only-1";
    await asked.ask("write", { streamName: source, type: "A" });
    expect((await asked.ask("findMessages", { source })).body.messages).toEqual([]);
  });

  test("is asked whether the page and its files are open, and of a message as a file", async () => {
    const calls: StudioCall[] = [];
    const asked = testStudio(db, {
      authorize: (_, call) => {
        calls.push(call);
        return false;
      },
    });
    for (const path of ["/", `/assets/${PAGE.script}`, "/assets/none", `/api/messages/${id}`]) {
      expect((await asked.send(path)).status).toBe(403);
    }
    const open = { operation: "open", writes: false };
    expect(calls).toEqual([open, open, open, {
      operation: "readMessage",
      writes: false,
      ids: [id],
    }]);
  });

  test("answers in place of the studio by a Response, also of another realm", async () => {
    const made = new Response("log in", { status: 401, headers: { "www-authenticate": "Basic" } });
    for (const send of ["page", "call"] as const) {
      const asked = testStudio(db, { authorize: () => made.clone() });
      const { status, text, headers } = send === "page"
        ? await asked.send("/")
        : await asked.ask("open");
      expect([status, text, headers.get("www-authenticate")]).toEqual([401, "log in", "Basic"]);
      expect(headers.get("x-frame-options")).toBe("DENY");
    }
  });

  test("refuses by throwing, and onError is told of it", async () => {
    const error = new Error("Cannot read this token");
    const told: unknown[] = [];
    for (
      const authorize of [() => Promise.reject(error), () => {
        throw error;
      }]
    ) {
      const asked = testStudio(db, {
        authorize,
        onError: (it) => {
          told.push(it);
          throw it;
        },
      });
      const { status, text } = await asked.ask("open");
      expect(status).toBe(403);
      expect(text).not.toContain("token");
    }
    expect(told).toEqual([error, error]);
  });
});

describe("what is wrong is said in words:", () => {
  const asked = testStudio(db, { readOnly: false });

  test.each<[string, unknown, string]>([
    ["open", { a: 1 }, '"a"'],
    ["open", [], "arguments"],
    ["open", null, "arguments"],
    ["activity", {}, '"since"'],
    ["activity", { since: "yesterday" }, '"yesterday"'],
    ["activity", { since: "-001808-01-01T00:00:00.000Z" }, "the years 1 to 9999"],
    ["activity", { since: "2026-02-31T00:00:00Z" }, "2026-02-31"],
    ["activity", { since, until: "+010000-01-01T00:00:00.000Z" }, "the years 1 to 9999"],
    ["activity", { since, until: since }, "after since"],
    ["activity", { since, buckets: 121 }, "120"],
    ["streams", { category: "a-1" }, '"a-1"'],
    ["streams", { category: "a", limit: 1001 }, "1000"],
    ["streams", { category: "a", sort: "size" }, '"size"'],
    ["streams", { category: "a", after: 7 }, "after"],
    ["messageTypes", { category: 7 }, "7"],
    ["findMessages", {}, '"source"'],
    ["findMessages", { source: "$all", limit: 501 }, "500"],
    ["findMessages", { source: "$all", startAt: "now" }, '"now"'],
    ["findMessages", { source: "$all", startAt: "-1" }, '"-1"'],
    ["findMessages", { source: "$all", since: 7 }, "7"],
    ["findMessages", { source: "$all", since: "-001808-01-01T00:00:00.000Z" }, "-001808"],
    ["findMessages", { source: "$all", until: "+275760-09-13T00:00:00.000Z" }, "+275760"],
    ["findMessages", { source: "$all", text: "" }, '"text"'],
    ["findMessages", { source: "$all", own: 1 }, '"own"'],
    ["findMessages", { source: "$all", types: [7] }, "7"],
    ["findMessages", { source: "$all", scanLimit: 1e9 }, '"scanLimit"'],
    ["readMessage", { id: "1" }, '"1"'],
    ["trace", {}, '"id"'],
    ["trace", { id, streamName: "a-1" }, '"streamName"'],
    ["states", { streamName: "a-1", position: -1 }, "-1"],
    ["parked", { consumer: { category: "a" } }, '"consumerId"'],
    ["parked", { consumer: null }, "consumer"],
    ["parked", { consumer: { ...consumer, handle: 1 } }, '"handle"'],
    ["planRewind", { consumer }, "position"],
    ["planRewind", { consumer, position: "2026-13-01" }, "the years 1 to 9999"],
    ["nextMessage", {}, "consumer"],
    ["nextMessage", { consumer: { ...consumer, consumerGroup: { size: 2 } } }, "member"],
    ["rewind", { consumer, position: 1e9 }, "the store ends before"],
    ["rewind", { consumer: { ...consumer, consumerId: "no" }, position: 1 }, "no position of it"],
    ["streams", { category: "a", after: {} }, '"after.lastGlobalPosition"'],
    ["findMessages", { source: "$all", direction: "up" }, '"up"'],
    ["write", { streamName: "account-1", type: "A", data: "\0" }, "u0000"],
    ["skip", { consumer, id: crypto.randomUUID(), reason: "r" }, "no such message"],
    ["readAggregate", { name: "a-1" }, '"a-1"'],
    ["replayParked", { consumer }, "handlers"],
    ["discardParked", { consumer, ids: [id] }, '"reason"'],
    ["discardParked", { consumer, reason: "r" }, '"ids"'],
    [
      "discardParked",
      { consumer: { ...consumer, consumerId: "no" }, ids: [id], reason: "r" },
      "not",
    ],
    ["skip", { consumer, id }, '"reason"'],
    ["write", { streamName: "account", type: "A" }, '"account"'],
    ["write", { streamName: "account-1", type: "" }, '"type"'],
    [
      "write",
      { streamName: "account:position-letters", type: "Recorded" },
      "by operations of their own",
    ],
    ["write", { streamName: "account-1", type: "A", metadata: [] }, '"metadata"'],
    ["write", { streamName: "account-1", type: "A", expectedVersion: -7 }, "-7"],
  ])("%s %j", async (operation, given, words) => {
    const { status, body } = await asked.ask(operation, given as object);
    expect(body).toMatchObject({ status: 422, detail: expect.stringMatching(/^Cannot /) });
    expect(status).toBe(422);
    expect(body.detail).toContain(words);
  });

  test("a version that is not the expected one", async () => {
    const given = { streamName: "account-1", type: "A", expectedVersion: 7 };
    expect(await asked.ask("write", given))
      .toMatchObject({ status: 409, body: { code: "WRONG_EXPECTED_VERSION", expectedVersion: 7 } });
  });

  test.each(["toString", "__proto__", "constructor", "", "open/", "Open", "open%20"])(
    "there is no operation %j",
    async (name) => expect((await asked.ask(name)).status).toBe(404),
  );

  test("another method", async () => {
    for (const method of ["GET", "PUT", "DELETE"]) {
      const { status, headers } = await asked.send("/api/open", { method });
      expect([status, headers.get("allow")]).toEqual([405, "POST"]);
    }
    const { status, headers } = await asked.send("/", { method: "POST" });
    expect([status, headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test("a body that is too large, or no JSON", async () => {
    const body = JSON.stringify({ source: "x".repeat(1_048_576) });
    for (const length of [{}, { "content-length": String(body.length) }]) {
      const init = { body, headers: { ...pageHeaders(), ...length } };
      expect((await asked.ask("findMessages", {}, init)).status).toBe(413);
    }
    expect((await asked.ask("open", {}, { body: "{" })).status).toBe(400);
    expect((await asked.ask("open", {}, { body: new Uint8Array([0xff]) })).status).toBe(400);
    expect((await asked.ask("open", {}, { body: "[".repeat(100_000) })).status).toBe(400);
  });

  test("a message that is not there", async () => {
    expect((await asked.send(`/api/messages/${crypto.randomUUID()}`)).status).toBe(404);
    expect((await asked.send("/api/messages/1")).status).toBe(422);
    expect((await asked.ask("readMessage", { id: crypto.randomUUID() })).body).toBe(null);
  });

  test("what else fails is not shown, and onError is told of it", async () => {
    const told: unknown[] = [];
    const failingSql = fromQuery(() => Promise.reject(new Error("password secret")));
    const failing = testStudio({ sql: failingSql }, {
      onError: (error) => told.push(error),
    });
    const { status, text } = await failing.ask("pulse");
    expect(status).toBe(500);
    expect(text).toContain("The studio failed: its log says why");
    expect(text).not.toContain("secret");
    expect(told).toMatchObject([{ message: "password secret" }]);
  });

  test("a gateway does not run what the studio asks", async () => {
    const gate = gateway(db.sql, { authorize: () => true });
    const sql = fetchSql("http://gateway/sql", {
      fetch: (url, init) => gate(new Request(url, init)),
    });
    const overGateway = testStudio({ sql });
    for (const operation of ["pulse", "consumers"]) {
      const { status, body } = await overGateway.ask(operation);
      expect([status, body.code]).toEqual([422, "UNKNOWN_STATEMENT"]);
      expect(body.detail).toMatch(
        /^Cannot ask this over a gateway, .+: give studio\(\) a handle to the/,
      );
    }
  });

  test.each([["Error", Error], ["TypeError", TypeError], ["RangeError", RangeError]] as const)(
    "what a driver says is not shown, although it begins as a sentence of ours: %s",
    async (_, Class) => {
      const error = new Class("Cannot find module '/home/me/secret/driver.js'");
      const sql = fromQuery(() => Promise.reject(error));
      const { status, text } = await testStudio({ sql }, { onError: nothing }).ask("readMessage", {
        id,
      });
      expect(status).toBe(500);
      expect(text).not.toContain("secret");
    },
  );
});

/** A handle that counts its statements, and answers those that are held back when it is told to. */
function counting(sql: Sql & { unsafe: typeof db.sql.unsafe }) {
  const counted = { statements: 0 };
  const handle = fromQuery((text, parameters) => {
    counted.statements++;
    return sql.unsafe(text, parameters);
  });
  return { counted, handle };
}

test.each([["0001-01-01T00:00:00.001Z", since], [since, "9999-12-31T23:59:59.998Z"]])(
  "the first and the last time that there are can be asked for: %s to %s",
  async (since, until) => {
    const { status, body } = await testStudio(db).ask("activity", { since, until });
    expect(body.buckets.length).toBeGreaterThan(59);
    expect(status).toBe(200);
  },
);

test("the store is examined with the status that the overview shows", async () => {
  const { counted, handle } = counting(db.sql);
  const asked = testStudio({ sql: handle });
  const answers = await Promise.all([asked.ask("storeStatus"), asked.ask("diagnose")]);
  expect(answers.map(({ status }) => status)).toEqual([200, 200]);
  // The status, the facts, and a look for a pooler.
  expect(counted.statements).toBe(3);
});

test("many open pages are one small statement a second, however many ask", async () => {
  const { counted, handle } = counting(db.sql);
  const asked = testStudio({ sql: handle });
  const began = performance.now();
  const round = () =>
    Promise.all(
      Array.from({ length: 20 }, () => [
        asked.ask("pulse"),
        asked.ask("consumers"),
        asked.ask("storeStatus"),
        asked.ask("diagnose"),
        asked.ask("messageTypes"),
        asked.ask("activity", { since: new Date(Date.now() - 600_000).toISOString() }),
      ]).flat(),
    );
  let rounds = 0;
  let pulses = 0;
  // Until the head was looked at three times more.
  await until(async () => {
    const before = counted.statements;
    for (const { status } of await round()) expect(status).toBe(200);
    rounds++;
    if (rounds > 1 && counted.statements > before) pulses++;
    return pulses === 3;
  });
  const seconds = (performance.now() - began) / 1000;
  expect(rounds).toBeGreaterThan(3);
  // One for each of the six at first; then no more than one a second, after the first five.
  expect(counted.statements).toBeLessThanOrEqual(6 + 5 + Math.ceil(seconds));
});

test("many different looks are bounded, and do not keep the head from being seen", async () => {
  const { counted, handle } = counting(db.sql);
  const asked = testStudio({ sql: handle });
  let looks = 0;
  const lookAnew = async () => {
    const since = new Date(Date.now() - 3_600_000 - ++looks * 60_000).toISOString();
    return (await asked.ask("activity", { since, buckets: 5 })).status;
  };
  await asked.ask("pulse");
  const looking = Array.from({ length: 100 }, lookAnew);
  const statuses = Promise.all(looking);
  await write(db.sql, "account-1", { type: "Seen" });
  const [last] = await db.sql`
    select max(global_position)::text as position from message_store.messages`;
  const more: Promise<number>[] = [];
  await until(async () => {
    for (let number = 0; number < 5; number++) more.push(lookAnew());
    const { body } = await asked.ask("pulse");
    return String(body.heads[0]) === last!["position"];
  });
  // Those that were asked first, and a few that waited.
  expect(counted.statements).toBeLessThan(45);
  const answered = [...await statuses, ...await Promise.all(more)];
  expect(new Set(answered)).toEqual(new Set([200, 503]));
  expect(answered.filter((it) => it === 200).length).toBeGreaterThanOrEqual(30);
});

/** Asks as an open page does by itself, which knows something of the store. */
function askAgain(asked: TestStudio, operation: string, given: object, known: string) {
  const headers = pageHeaders({ "x-messagedb-again": known });
  return asked.ask(operation, given, { body: JSON.stringify(given), headers });
}

test("what open pages ask again is one small statement a second, whatever each shows", async () => {
  const { counted, handle } = counting(db.sql);
  const asked = testStudio({ sql: handle });
  const consumer = { category: "asking", consumerId: "asked" };
  await writeBatch(db.sql, "asking-1", [{ type: "A" }, { type: "B" }]);
  await drain(db.sql, { ...consumer, handle: () => {} });
  await write(db.sql, "asking-1", { type: "C" });
  for (const [operation, most] of [["parked", 2], ["nextMessage", 5], ["planRewind", 5]] as const) {
    const before = counted.statements;
    const given = { consumer, ...(operation === "planRewind" && { position: "beginning" }) };
    expect((await asked.ask(operation, given)).status).toBe(200);
    expect(counted.statements - before, operation).toBeLessThanOrEqual(most);
  }
  counted.statements = 0;
  const looks: (readonly [string, object])[] = [
    ["parked", { consumer }],
    ["nextMessage", { consumer }],
    ...Array.from({ length: 18 }, (_, at) => ["findMessages", { source: `ask${at}` }] as const),
  ];
  const began = performance.now();
  const answered = new Set<unknown>();
  let pulses = 0;
  let known = 0;
  await until(async () => {
    known++;
    const before = counted.statements;
    const { status } = await asked.ask("pulse");
    expect(status).toBe(200);
    if (counted.statements > before) pulses++;
    const answers = await Promise.all(
      looks.map(([operation, given]) => askAgain(asked, operation, given, String(known))),
    );
    for (const [at, { status, text }] of answers.entries()) {
      expect([200, 204]).toContain(status);
      expect(text === "").toBe(status === 204);
      if (status === 200) answered.add(looks[at]);
    }
    return pulses > 2 && answered.size > 4;
  });
  const seconds = (performance.now() - began) / 1000;
  // The first five, and five of a look that begins with the last that is left.
  expect(counted.statements).toBeLessThanOrEqual(10 + Math.ceil(seconds));
});

test("pages that know the same of the store have one answer, and it is no older than that", async () => {
  const { counted, handle } = counting(db.sql);
  const asked = testStudio({ sql: handle });
  const given = { source: "alike-1" };
  const found = async (known: string) => {
    const { body } = await askAgain(asked, "findMessages", given, known);
    return body.messages.length;
  };
  expect(await Promise.all(Array.from({ length: 20 }, () => found("1")))).toEqual(
    Array(20).fill(0),
  );
  expect(counted.statements).toBe(1);
  await write(db.sql, "alike-1", { type: "A" });
  expect(await found("2")).toBe(1);
  expect(counted.statements).toBe(2);
  // What somebody asks for is always asked of the store, and does not wait.
  for (let time = 1; time <= 20; time++) {
    const { body } = await asked.ask("findMessages", given);
    expect(body.messages).toHaveLength(1);
  }
  expect(counted.statements).toBe(22);
});

test("who leaves does not take the answer from others who wait for it", async () => {
  const answers: (() => void)[] = [];
  const sql = fromQuery(async (text, parameters) => {
    await new Promise<void>((resolve) => answers.push(resolve));
    return await db.sql.unsafe(text, parameters);
  });
  const asked = testStudio({ sql });
  const leaving = new AbortController();
  const given = { source: "leaving-1" };
  const init = {
    body: JSON.stringify(given),
    headers: pageHeaders({ "x-messagedb-again": "1" }),
  };
  const first = asked.ask("findMessages", given, { ...init, signal: leaving.signal });
  await until(() => answers.length === 1);
  const second = asked.ask("findMessages", given, init);
  leaving.abort();
  answers[0]!();
  expect((await second).status).toBe(200);
  await first;
  expect(answers).toHaveLength(1);
});

test("a change is made each time, whatever the page says that it knows", async () => {
  const asked = testStudio(db, { readOnly: false });
  const given = { streamName: "changing-1", type: "A", data: {} };
  for (const position of [0, 1]) {
    expect((await askAgain(asked, "write", given, "1")).body).toEqual({ position });
  }
});

test("no statement is begun for who has left before it was allowed", async () => {
  const { counted, handle } = counting(db.sql);
  const leaving = new AbortController();
  const asked = testStudio({ sql: handle }, {
    authorize: () => {
      leaving.abort();
      return true;
    },
  });
  const init = { signal: leaving.signal };
  for (const [operation, given] of [["findMessages", { source: "$all" }], ["pulse", {}]] as const) {
    expect((await asked.ask(operation, given, init)).status).toBe(503);
  }
  expect(counted.statements).toBe(0);
});

test("a search ends for who has left, and when the studio's signal aborts", async () => {
  const stopping = new AbortController();
  let held = 0;
  const sql = fromQuery(() => {
    held++;
    return new Promise<never>(nothing);
  });
  const asked = testStudio({ sql }, {
    signal: stopping.signal,
    onError: (error) => expect(error).toBe(undefined),
  });
  const leaving = new AbortController();
  const search = asked.ask("findMessages", { source: "$all", text: "x" }, {
    signal: leaving.signal,
  });
  const states = asked.ask("states", { streamName: "a-1" });
  await until(() => held === 2);
  leaving.abort();
  expect((await search).status).toBe(503);
  stopping.abort();
  expect((await states).status).toBe(503);
});

test("the studio answers while the messages are of other people", async () => {
  const asked = testStudio(db, { readOnly: false });
  const names = ["__proto__-__proto__", "a-/?#%2F&=+ \\\"'`<>", "a-\u202E😀\u200B", "a-.."];
  for (const [at, streamName] of names.entries()) {
    const data = JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"<b>":"\\u2028"}');
    const given = { streamName, type: `__proto__${at}`, data };
    const body = JSON.stringify(given);
    expect((await asked.ask("write", {}, { body })).body, streamName).toEqual({ position: 0 });
    const { body: found } = await asked.ask("findMessages", {
      source: streamName,
      text: "POLLUTED",
    });
    expect(found.messages).toMatchObject([{ streamName, type: `__proto__${at}`, kind: "message" }]);
    expect(Object.keys(JSON.parse(found.messages[0].data))).toContain("__proto__");
    const { body: states } = await asked.ask("states", { streamName });
    expect(JSON.parse(states.states[0].state)).toEqual(data);
    const { body: traced } = await asked.ask("trace", { id: found.messages[0].id });
    expect(traced.messages).toMatchObject([{ streamName }]);
  }
  expect(({} as Record<string, unknown>)["polluted"]).toBe(undefined);
  await writeBatch(db.sql, "when-1", [{ type: "A" }]);
  await db.sql`update message_store.messages set time = 'infinity' where stream_name = 'when-1'`;
  const { body } = await asked.ask("findMessages", { source: "when-1" });
  expect(body.messages).toMatchObject([{ time: null }]);
  for (const time of ["infinity", "-infinity", "290000-01-01"]) {
    await db.sql`update message_store.messages set time = ${time}::text::timestamp
      where stream_name = 'when-1'`;
    const { body: states } = await asked.ask("states", { streamName: "when-1" });
    expect(states).toMatchObject({ states: [{ time: null }] });
    const { body: traced } = await asked.ask("trace", { streamName: "when-1" });
    expect(traced.messages).toMatchObject([{ time: null }]);
    const { body: page } = await asked.ask("streams", { category: "when", limit: 1 });
    expect(page).toMatchObject({ streams: [{ firstAt: null, lastAt: null }] });
    const after = await asked.ask("streams", { category: "when", after: page.streams[0] });
    expect(after.body).toMatchObject({ streams: [], next: null });
  }
});

test("10 MB of data are a beginning of them in the page, and whole in a file", async () => {
  const asked = testStudio(db);
  const large = { text: "é".repeat(10_000_000) };
  const id = crypto.randomUUID();
  await write(db.sql, "large-1", { id, type: "A", data: large });
  const list = await asked.ask("findMessages", { source: "large" });
  expect(list.text.length).toBeLessThan(3000);
  expect(list.body.messages).toMatchObject([{ id, isCut: true, size: 20_000_012 }]);
  const whole = await asked.ask("readMessage", { id });
  expect(whole.body.data.length).toBe(1_000_000);
  expect((await asked.ask("states", { streamName: "large-1" })).text.length).toBeLessThan(100_000);
  const file = await asked.send(`/api/messages/${id}`);
  expect(file.headers.get("content-disposition"))
    .toBe(`attachment; filename="message-${id}.json"`);
  expect(file.body).toMatchObject({ id, streamName: "large-1", data: large, metadata: null });
});

test("a store that does not answer is asked once a second, however many pages ask", async () => {
  let sent = 0;
  const failing = fromQuery(() => {
    sent++;
    return Promise.reject(
      Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" }),
    );
  });
  const { ask } = testStudio({ sql: failing }, { onError: () => {} });
  const answers = [];
  for (let page = 0; page < 20; page++) answers.push(await ask("pulse"));
  expect(answers.every(({ status }) => status >= 500)).toBe(true);
  expect(sent).toBeLessThan(20);
});
