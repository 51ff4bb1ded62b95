import { fromQuery, type Sql } from "@messagedb/client";
import { studio, type StudioCall, type StudioOptions } from "@messagedb/client/studio";
import { beforeAll, describe, expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { asking, requestOf } from "./_ask.ts";

const db = useDatabase();
const authorize = () => true;
let sql: Sql;
beforeAll(() => {
  sql = db.sql;
});

const get = (path: string, init?: RequestInit) => new Request(`http://studio.test${path}`, init);

describe("the page", () => {
  test("is the same for every view, and no other site may frame it, add to it or be told of it", async () => {
    const handle = studio(sql, { authorize });
    const texts = new Set<string>();
    for (const path of ["/", "/all", "/streams/a%2F..%3Cscript%3E", "/messages/x?text=<b>"]) {
      const response = await handle(get(path));
      expect(response.status).toBe(200);
      texts.add(await response.text());
      const { headers } = response;
      expect(headers.get("content-type")).toBe("text/html; charset=utf-8");
      const policy = headers.get("content-security-policy");
      expect(policy).toContain("default-src 'none'; script-src 'self'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toContain("unsafe");
      expect(Object.fromEntries(headers)).toMatchObject({
        "cache-control": "no-store",
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
      });
      expect(headers.has("access-control-allow-origin")).toBe(false);
    }
    expect(texts.size).toBe(1);
  });

  test("is under its base path, which is escaped, and nothing is elsewhere", async () => {
    const handle = studio(sql, { authorize, basePath: "/a&'b" });
    for (const path of ["/a&'b", "/a&'b/", "/a&'b/all"]) {
      expect(await (await handle(get(path))).text()).toContain('data-base="/a&#38;&#39;b"');
    }
    for (const path of ["/", "/a", "/a&'bc", "/api/open"]) {
      expect((await handle(get(path))).status).toBe(404);
    }
  });

  test("names its assets, which never change", async () => {
    const handle = studio(sql, { authorize });
    const shell = await (await handle(get("/"))).text();
    const [path] = /\/assets\/[^"]+\.js/.exec(shell)!;
    const response = await handle(get(path));
    expect(response.headers.get("content-type")).toMatch(/^text\/javascript/);
    expect(response.headers.get("cache-control")).toContain("immutable");
    const etag = response.headers.get("etag")!;
    const again = await handle(get(path, { headers: { "if-none-match": etag } }));
    expect([again.status, await again.text()]).toEqual([304, ""]);
    for (const name of ["__proto__", "constructor", "none.js", "..%2Fpackage.json"]) {
      expect((await handle(get(`/assets/${name}`))).status).toBe(404);
    }
  });

  test("answers HEAD without a body, and no other method", async () => {
    const handle = studio(sql, { authorize });
    const head = await handle(get("/", { method: "HEAD" }));
    expect([head.status, await head.text()]).toEqual([200, ""]);
    const post = await handle(get("/", { method: "POST" }));
    expect([post.status, post.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});

describe("a request for an operation", () => {
  test.each<[string, Record<string, string>]>([
    ["of another site", { "sec-fetch-site": "cross-site" }],
    ["of another origin of the site", { "sec-fetch-site": "same-site" }],
    ["from another origin", { origin: "https://evil.test" }],
    ["from no origin", { origin: "null" }],
    ["without the page's header", { "x-messagedb-studio": "" }],
  ])("%s is refused, and nobody is asked", async (_, headers) => {
    const ask = asking(sql, {
      authorize: () => {
        throw new Error("asked");
      },
    });
    const { status, json } = await ask("open", {}, { headers });
    expect([status, json.code]).toEqual([403, "FOREIGN_REQUEST"]);
  });

  test("of a form is refused", async () => {
    const ask = asking(sql);
    for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
      expect((await ask("open", {}, { headers: { "content-type": type } })).status).toBe(415);
    }
  });

  test("of the page itself is answered", async () => {
    const headers = { origin: "https://studio.test", "sec-fetch-site": "same-origin" };
    expect((await asking(sql)("open", {}, { headers })).status).toBe(200);
  });

  test("has a body of a megabyte at most", async () => {
    const { status } = await asking(sql, { readOnly: false })("write", {
      data: "x".repeat(1_050_000),
    });
    expect(status).toBe(413);
  });

  test("says what is wrong with it", async () => {
    const ask = asking(sql);
    for (
      const [name, given, status, words] of [
        ["none", {}, 404, "no operation"],
        ["__proto__", {}, 404, "no operation"],
        ["constructor", {}, 404, "no operation"],
        ["open", [], 422, "an object"],
        ["open", null, 422, "an object"],
        ["open", { a: 1 }, 422, '"a"'],
        ["findMessages", {}, 422, '"source"'],
        ["findMessages", { source: ["$all"] }, 422, '"source"'],
        ["findMessages", { source: "a", limit: 501 }, 422, '"limit"'],
        ["findMessages", { source: "a", startAt: "soon" }, 422, '"startAt"'],
        ["findMessages", { source: "a", since: 5 }, 422, '"since"'],
        ["findMessages", { source: "a", types: Array(101).fill("A") }, 422, '"types.length"'],
        ["readMessage", { id: "x" }, 422, '"id"'],
        ["streams", { category: "a-1" }, 422, '"category"'],
        ["states", { streamName: "a" }, 422, '"streamName"'],
        ["activity", { since: "x" }, 422, '"since"'],
        ["activity", { since: "2026-01-01", buckets: 121 }, 422, '"buckets"'],
        ["activity", { since: "2026-01-01", until: "2025-01-01" }, 422, '"until"'],
        ["trace", {}, 422, "neither"],
        ["parked", {}, 422, '"consumer"'],
        ["parked", { consumer: { category: "a", consumerId: "b", x: 1 } }, 422, '"x"'],
        ["readAggregate", { name: "a:b" }, 422, '"name"'],
        ["planRewind", { consumer: { category: "a", consumerId: "b" } }, 422, '"position"'],
      ] as const
    ) {
      const answer = await ask(name, given);
      expect([name, answer.status, answer.json.detail]).toEqual([
        name,
        status,
        expect.stringContaining(words),
      ]);
    }
    const handle = studio(sql, { authorize });
    const response = await handle(get("/api/open"));
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
  });

  test("that fails at the database tells the program, and not the page", async () => {
    const told: unknown[] = [];
    const broken = fromQuery(() => Promise.reject(new Error("secret")));
    const ask = asking(broken, { onError: (error) => told.push(error) });
    const { status, json } = await ask("pulse");
    expect(status).toBe(500);
    expect(JSON.stringify(json)).not.toContain("secret");
    expect(told).toHaveLength(1);
  });
});

describe("authorize", () => {
  const consumer = { category: "account", consumerId: "letters" };
  const id = "00000000-0000-4000-8000-000000000000";
  const pass = { consumer, id, reason: "why" };

  test.each<[string, object, object]>([
    ["open", {}, {}],
    ["pulse", {}, {}],
    ["storeStatus", {}, {}],
    ["activity", { since: "2026-01-01" }, {}],
    ["consumers", {}, {}],
    ["diagnose", {}, {}],
    ["streams", { category: "account" }, { category: "account" }],
    ["messageTypes", { category: "account" }, { category: "account" }],
    ["findMessages", { source: "$all" }, {}],
    ["findMessages", { source: "account" }, { category: "account" }],
    ["findMessages", { source: "account-1" }, { category: "account", streamName: "account-1" }],
    ["readMessage", { id }, { ids: [id] }],
    ["trace", { id }, { ids: [id] }],
    ["trace", { streamName: "account-1" }, {}],
    ["states", { streamName: "account-1" }, { category: "account", streamName: "account-1" }],
    ["parked", { consumer }, consumer],
    ["planRewind", { consumer, position: "end" }, consumer],
    ["nextMessage", { consumer }, consumer],
    ["readAggregate", { name: "ledger" }, { aggregate: "ledger" }],
    ["replayParked", { consumer, ids: [id] }, { ...consumer, ids: [id], writes: true }],
    ["discardParked", { consumer, ids: [id], reason: "why" }, {
      ...consumer,
      ids: [id],
      writes: true,
    }],
    ["rewind", { consumer, position: 1 }, { ...consumer, writes: true }],
    ["skip", pass, { ...consumer, ids: [id], writes: true }],
    ["park", pass, { ...consumer, ids: [id], writes: true }],
    ["write", { streamName: "account-1", type: "A" }, {
      category: "account",
      streamName: "account-1",
      type: "A",
      writes: true,
    }],
  ])("is asked about %s %j, and can refuse", async (operation, given, place) => {
    const calls: StudioCall[] = [];
    const untouched = fromQuery(() => Promise.reject(new Error("sent")));
    const ask = asking(untouched, {
      readOnly: false,
      authorize: (_, call) => calls.push(call) < 0,
    });
    const { status, json } = await ask(operation, given);
    expect([status, json.detail]).toEqual([403, `Cannot call ${operation}: it is not allowed`]);
    expect(calls.map((it) => JSON.parse(JSON.stringify(it))))
      .toEqual([{ operation, writes: false, ...place }]);
  });

  test("is asked about the page and its assets, and a Response is the answer", async () => {
    const calls: string[] = [];
    const handle = studio(sql, {
      authorize: (_, { operation }) => {
        calls.push(operation);
        return Response.redirect("https://login.test/");
      },
    });
    for (const request of [get("/"), get("/assets/x.js"), requestOf("consumers")]) {
      const { status, headers } = await handle(request);
      expect([status, headers.get("location")]).toEqual([302, "https://login.test/"]);
      expect(headers.get("x-frame-options")).toBe("DENY");
    }
    expect(calls).toEqual(["open", "open", "consumers"]);
  });

  test("that throws, or answers anything but true, refuses", async () => {
    for (const answer of [undefined, 1, "true", {}, () => true]) {
      const ask = asking(sql, { authorize: (() => answer) as never });
      expect((await ask("open")).status).toBe(403);
    }
    const told: unknown[] = [];
    const error = new Error("bad token");
    const ask = asking(sql, {
      authorize: () => Promise.reject(error),
      onError: (it) => told.push(it),
    });
    expect((await ask("open")).status).toBe(403);
    expect(told).toEqual([error]);
  });

  test.each(["replayParked", "discardParked", "rewind", "skip", "park", "write"])(
    "is not asked about %s in a studio that only reads",
    async (operation) => {
      const consumer = { category: "account", consumerId: "letters" };
      const given = {
        replayParked: { consumer },
        discardParked: { consumer, ids: [], reason: "why" },
        rewind: { consumer, position: 1 },
        skip: pass,
        park: pass,
        write: { streamName: "account-1", type: "A" },
      }[operation];
      const ask = asking(sql, {
        authorize: () => {
          throw new Error("asked");
        },
      });
      const { status, json } = await ask(operation, given);
      expect([status, json.code]).toEqual([403, "READ_ONLY"]);
    },
  );
});

test.each<[string, object]>([
  ["authorize", {}],
  ["basePath", { authorize, basePath: "studio" }],
  ["basePath", { authorize, basePath: "/a b" }],
  ["readOnly", { authorize, readOnly: "no" }],
  ["entities", { authorize, entities: {} }],
  ["entities", { authorize, entities: [7] }],
  ["consumers", { authorize, consumers: {} }],
  ["signal", { authorize, signal: {} }],
  ["onError", { authorize, onError: 1 }],
  ["readonly", { authorize, readonly: false }],
])("studio() refuses %s of %j", (name, options) => {
  expect(() => studio(sql, options as StudioOptions)).toThrow(`"${name}"`);
});
