import { fromQuery, type Sql, streamVersion, write } from "@messagedb/client";
import { gateway } from "@messagedb/client/gateway";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { openHandle, useDatabase } from "../database.ts";
import { type Answer, api, contentOf, type OpenApi, validator } from "./_api.ts";

const db = useDatabase();
const STREAM = "account-123";
const ID = "0b1d6f3e-8a4c-4f6b-b1a7-5c2e9d8f7a61";

beforeAll(async () => {
  await write(db.sql, STREAM, { type: "Deposited", id: ID });
});

/** The statement that an operation sends. */
function statementOf(operation: (sql: Sql) => Promise<unknown>): Promise<object> {
  return new Promise((resolve) => {
    const taking = fromQuery((query, params) => {
      resolve({ query, params });
      return new Promise(() => {});
    });
    void operation(taking);
  });
}

async function documentOf(basePath = ""): Promise<OpenApi> {
  const handle = gateway(db.sql, { authorize: () => false, basePath });
  return await (await handle(new Request(`http://gateway${basePath}/openapi.json`))).json();
}

describe("the document", () => {
  test("is valid OpenAPI 3.1", async () => {
    const { valid, errors } = await new Validator().validate({ ...await documentOf() });
    expect([valid, errors]).toEqual([true, undefined]);
  });

  test("is of this package's version, and says where the gateway is", async () => {
    const document = await documentOf("/events/v1");
    expect(document).toMatchObject({
      openapi: "3.1.0",
      info: { version: packageJson.version },
      servers: [{ url: "/events/v1" }],
    });
    expect((await documentOf()).servers).toEqual([{ url: "/" }]);
  });

  test("names each operation, and names none twice", async () => {
    const names = operations(await documentOf()).map(({ operation }) => operation.operationId);
    expect(names.filter((name) => !/^\w+$/.test(name))).toEqual([]);
    expect(new Set(names).size).toBe(names.length);
  });

  test("describes all of its parameters", async () => {
    for (const { operation } of operations(await documentOf())) {
      for (const { description } of operation.parameters) expect(description).toMatch(/\.$/);
    }
  });

  test("has examples that are as it says", async () => {
    const document = await documentOf();
    const validate = validator(document);
    let count = 0;
    const check = (at: readonly string[], value: unknown) => {
      validate(at, value);
      count++;
    };
    for (const [name, { examples = [] }] of Object.entries(document.components.schemas)) {
      for (const example of examples) check(["components", "schemas", name], example);
    }
    for (const [status, response] of Object.entries(document.components.responses)) {
      for (const [type, { examples }] of Object.entries(response.content)) {
        for (const { value } of Object.values(examples ?? {})) {
          check(["components", "responses", status, "content", type, "schema"], value);
          expect(value["status"]).toBe(Number(status));
        }
      }
    }
    for (const { path, method, operation } of operations(document)) {
      for (const [status, response] of Object.entries(operation.responses)) {
        if ("$ref" in response) continue;
        for (const [type, { example }] of Object.entries(response.content ?? {})) {
          if (example === undefined) continue;
          const at = ["paths", path, method, "responses", status, "content", type, "schema"];
          check(at, example);
        }
      }
    }
    expect(count).toBeGreaterThan(25);
  });
});

interface Described {
  readonly path: string;
  readonly method: string;
  readonly operation: OpenApi["paths"][string][string];
}

function operations(document: OpenApi): Described[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation }))
  );
}

describe("the gateway", () => {
  afterEach(() => void vi.useRealTimers());

  type Send = (
    sql?: Sql,
    options?: Parameters<typeof api>[1],
    change?: { path?: string; body?: unknown; headers?: HeadersInit },
  ) => Promise<Answer>;

  /** How an operation comes to each status. */
  const ways: Record<string, (send: Send, described: Described) => Promise<unknown>> = {
    200: async (send, { operation }) => {
      await send();
      const types = Object.keys(contentOf(await documentOf(), operation.responses[200]!).content);
      if (!types.includes("text/event-stream")) return;
      const { headers, body } = await send(undefined, {}, {
        headers: { accept: "text/event-stream", "last-event-id": "0" },
      });
      await body.cancel();
      expect(headers.get("content-type")).toBe("text/event-stream");
    },
    201: (send) => send(),
    400: async (send, { path, operation }) => {
      if (operation.requestBody) await send(undefined, {}, { body: "{" });
      if (path.includes("{")) {
        await send(undefined, {}, { path: path.replace(/\{.*\}/, "%ff") });
      }
      if (path === "/sql") {
        const body = await statementOf((sql) =>
          write(sql, STREAM, { type: "T" }, { expectedVersion: 1000 })
        );
        await send(undefined, {}, { body });
      }
    },
    304: (send) => send(undefined, {}, { headers: { "if-none-match": "*" } }),
    403: (send) => send(undefined, { authorize: () => false }),
    404: (send, { path }) =>
      send(undefined, {}, {
        path: path.replace("{streamName}", "account-none").replace("{id}", crypto.randomUUID()),
      }),
    408: async (send) => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
      const answer = send(undefined, {}, { body: new ReadableStream() });
      await vi.waitUntil(() => vi.getTimerCount() > 0, { interval: 0 }).catch(() => {});
      await vi.advanceTimersByTimeAsync(10_000);
      return await answer;
    },
    409: async (send, { path: at }) => {
      const streamOf = (messages: object[], streamName = STREAM, expectedVersion?: number) => ({
        streams: [{ streamName, messages, expectedVersion }],
      });
      if (at === "/streams") {
        await send(undefined, {}, { body: streamOf([{ type: "T" }], STREAM, 1000) });
        return await send(undefined, {}, {
          body: streamOf([{ type: "T", id: ID }], "account-other"),
        });
      }
      await send(undefined, {}, { body: { type: "T", expectedVersion: 1000 } });
      const path = "/streams/account-other/messages";
      await send(undefined, {}, { path, body: { type: "T", id: ID } });
    },
    412: (send) => send(undefined, {}, { headers: { "if-match": '"1000"' } }),
    413: (send) => send(undefined, { maxBodyBytes: 1 }),
    415: async (send) => {
      await send(undefined, {}, { headers: { "content-type": "text/plain" } });
      await send(undefined, {}, { headers: { "content-encoding": "gzip" } });
    },
    422: async (send, { path }) => {
      if (path === "/sql") await send(undefined, {}, { body: { query: 7 } });
      else await send(undefined, {}, { path: `${path.replace(/\{.*\}/, STREAM)}?other=1` });
    },
    500: (send) => send(() => Promise.reject(new TypeError("Not a driver's"))),
    503: async (send) => {
      const { href } = Object.assign(new URL(db.url), { port: "1" });
      await send(openHandle(href, { connect_timeout: 5, max: 1 }));
    },
  };

  test("gives each answer that the document has", async () => {
    const statement = await statementOf((sql) => streamVersion(sql, STREAM));
    const document = await documentOf();
    const described = operations(document).flatMap(({ path, method, operation }) =>
      Object.keys(operation.responses).map((status) => `${method.toUpperCase()} ${path} ${status}`)
    );
    const seen = new Set<string>();
    for (const { path, method, operation } of operations(document)) {
      const usual = path.replace("{streamName}", STREAM).replace("{category}", "account")
        .replace("{id}", ID);
      for (const status of Object.keys(operation.responses)) {
        let reached = false;
        const send: Send = async (sql = db.sql, options = {}, change = {}) => {
          const quiet = { onError: () => {}, ...options };
          const body = path === "/sql"
            ? statement
            : path === "/streams"
            ? { streams: [{ streamName: STREAM, messages: [{ type: "T" }] }] }
            : operation.requestBody && { type: "T" };
          const answer = await api(sql, quiet, (method, path, status) => {
            seen.add(`${method} ${path} ${status}`);
          }).send(method.toUpperCase(), change.path ?? usual, change.body ?? body, change.headers);
          expect(`${method} ${path} ${answer.status}`).toBe(`${method} ${path} ${status}`);
          reached = true;
          return answer;
        };
        await ways[status]!(send, { path, method, operation });
        vi.useRealTimers();
        expect(reached, `${method} ${path} ${status}`).toBe(true);
      }
    }
    expect([...seen].sort()).toEqual(described.sort());
  });
});
