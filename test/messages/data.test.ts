import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { test } from "vitest";
import { readStream, write } from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** What jsonb holds of JSON: all but NUL and half of a surrogate pair. */
const jsonb = fc.jsonValue({ depthSize: "large", stringUnit: "binary" })
  .filter((value) => !/\\u(0000|d[89a-f])/.test(JSON.stringify(value)));

test("any JSON comes back as it was written", async () => {
  let run = 0;
  await fc.assert(
    fc.asyncProperty(jsonb, async (data) => {
      const stream = `json-${++run}`;
      await write(db.sql, stream, { type: "Written", data });
      const [message] = await readStream(db.sql, stream);
      assert.deepEqual(message!.data, JSON.parse(JSON.stringify(data)));
    }),
    { numRuns: 300 },
  );
});

test("what only looks like a NUL or a surrogate is data like any other", async () => {
  const data = ["\\u0000", "\\\\u0000", "\\ud800", "\u{1f600}", {
    "\\u0000": "\\\\\\u0000",
  }, "\\"];
  await write(db.sql, "escapes-1", { type: "Written", data });
  assert.deepEqual((await readStream(db.sql, "escapes-1"))[0]!.data, data);
});

test("what has a toJSON is written by it, and a property that is undefined is left out", async () => {
  const at = new Date("2026-01-02T03:04:05.678Z");
  const money = { toJSON: () => ({ amount: 11, none: null }) };
  await write(db.sql, "tojson-1", {
    type: "Written",
    data: { at, money, gone: undefined },
  });
  assert.deepEqual((await readStream(db.sql, "tojson-1"))[0]!.data, {
    at: "2026-01-02T03:04:05.678Z",
    money: { amount: 11, none: null },
  });
});

test("what a toJSON answers is written, be it the object itself", async () => {
  class Money {
    amount = 11;
    toJSON(): this {
      return this;
    }
  }
  await write(db.sql, "own-1", { type: "Written", data: new Money() });
  assert.deepEqual((await readStream(db.sql, "own-1"))[0]!.data, { amount: 11 });
});

test("a class's fields are written", async () => {
  class Money {
    amount = 11;
  }
  await write(db.sql, "class-1", { type: "Written", data: new Money() });
  assert.deepEqual((await readStream(db.sql, "class-1"))[0]!.data, { amount: 11 });
});

test("what JSON would write without what it is is refused, though it has properties", async () => {
  class Failure extends Error {
    code = "E_FAILED";
    get [Symbol.toStringTag]() {
      return "Failure";
    }
  }
  class Registry extends Map<string, string> {
    label = "names";
  }
  const readError = await readFile("/nope/nope").catch((error) => error);
  const sqlError = await db.sql`select 1 / 0`.catch((error) => error);
  const error = runInNewContext("Object.assign(new TypeError('x'), { code: 1 })");
  const values: Record<string, unknown> = {
    "an error of Node": readError,
    "an error of a driver": sqlError,
    "an error of another realm": error,
    "a plain error": new Error("x"),
    "an error with a tag": new Failure("x"),
    "a proxy of an error": new Proxy(readError, {}),
    "several errors": Object.assign(new AggregateError([readError]), { code: 1 }),
    "a DOMException": Object.assign(new DOMException("x"), { label: 1 }),
    "a Map": Object.assign(new Map([[1, 2]]), { label: 1 }),
    "a class of a Map": new Registry([["a", "b"]]),
    "a Set": Object.assign(new Set([1]), { label: 1 }),
    "a WeakMap": Object.assign(new WeakMap(), { label: 1 }),
    "a promise": Object.assign(Promise.resolve(1), { label: 1 }),
    "an expression": Object.assign(/x/, { label: 1 }),
    bytes: new Uint8Array([1]),
    "a buffer": Object.assign(new ArrayBuffer(1), {}),
    "parameters of a URL": new URLSearchParams("a=1"),
  };
  for (const [what, value] of Object.entries(values)) {
    for (
      const message of [
        { type: "Written", data: value },
        { type: "Written", data: { nested: [{ value }] } },
        { type: "Written", metadata: { value } },
      ]
    ) {
      await assert.rejects(write(db.sql, "lossy-1", message), {
        name: "TypeError",
        message: /^Cannot write "(data|metadata)[\w.[\]]*" as JSON: it is \[object \w+\]$/,
      }, what);
    }
  }
  assert.deepEqual(await readStream(db.sql, "lossy-1"), []);
});

test("what says itself how it is JSON is written so: a URL, an error with toJSON, a Buffer", async () => {
  class Told extends Error {
    code = 7;
    toJSON() {
      return { message: this.message, code: this.code };
    }
  }
  const data = { url: new URL("http://a/b"), error: new Told("x"), text: Object("boxed") };
  await write(db.sql, "told-1", { type: "Written", data });
  assert.deepEqual((await readStream(db.sql, "told-1"))[0]!.data, {
    url: "http://a/b",
    error: { message: "x", code: 7 },
    text: "boxed",
  });
});

test("a BigInt is written by the toJSON that a program gave it", async () => {
  const prototype = BigInt.prototype as { toJSON?: () => string };
  prototype.toJSON = function () {
    return String(this);
  };
  try {
    await write(db.sql, "bigint-1", { type: "Written", data: { n: 12345678901234567890n } });
  } finally {
    delete prototype.toJSON;
  }
  assert.deepEqual((await readStream(db.sql, "bigint-1"))[0]!.data, { n: "12345678901234567890" });
});

test("any stream name and type that is accepted is read back", async () => {
  const name = fc.tuple(
    fc.string({ minLength: 1, unit: "binary" }).filter((text) => !text.includes("-")),
    fc.string({ minLength: 1, unit: "binary" }),
  ).map((parts) => parts.join("-"));
  const text = fc.string({ minLength: 1, unit: "binary" });
  await fc.assert(
    fc.asyncProperty(name, text, async (name, type) => {
      let position;
      try {
        position = await write(db.sql, name, { type });
      } catch (error) {
        assert.ok(error instanceof TypeError);
        return;
      }
      const [message] = await readStream(db.sql, name, { position });
      assert.deepEqual([message!.streamName, message!.type], [name, type]);
    }),
    { numRuns: 200 },
  );
});
