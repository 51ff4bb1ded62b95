import { readStream, STREAM_EXISTS, streamVersion, write, writeBatch } from "@messagedb/client";
import { gateway, type GatewayCall } from "@messagedb/client/gateway";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { whileLocked } from "../_locks.ts";
import { useDatabase } from "../database.ts";
import { type Api, api } from "./_api.ts";

const db = useDatabase();
const newStream = () => `account-${crypto.randomUUID()}`;
const messagesOf = (streamName: string) => `/streams/${encodeURIComponent(streamName)}/messages`;

/** The calls that authorize was asked about, and the statements that were sent. */
function watched(allow = true): { server: Api; calls: GatewayCall[]; sent: () => number } {
  let sent = 0;
  const calls: GatewayCall[] = [];
  const server = api(
    (strings, ...parameters) => {
      sent++;
      return db.sql(strings, ...parameters);
    },
    {
      authorize: (_, call) => {
        calls.push(call);
        return allow;
      },
    },
  );
  return { server, calls, sent: () => sent };
}

const client = (options = {}): Api => api(db.sql, options);

describe("POST /streams/{streamName}/messages", () => {
  test("appends a message, and answers its position", async () => {
    const stream = newStream();
    const message = { type: "Opened", data: { amount: 11 }, metadata: { schemaVersion: "1" } };
    expect(await client().post(messagesOf(stream), message)).toMatchObject({
      status: 201,
      body: { position: 0 },
    });
    const [written] = await readStream(db.sql, stream);
    expect(written).toMatchObject(message);
  });

  test("appends messages, all or none, and answers the position of the last", async () => {
    const stream = newStream();
    const messages = [{ type: "Opened" }, { type: "Deposited", data: [1] }];
    expect((await client().post(messagesOf(stream), { messages })).body).toEqual({ position: 1 });
    const broken = { messages: [{ type: "Closed" }, { type: "" }] };
    expect((await client().post(messagesOf(stream), broken)).status).toBe(422);
    expect((await readStream(db.sql, stream)).map(({ type }) => type))
      .toEqual(["Opened", "Deposited"]);
  });

  test("stores data and metadata exactly as they were sent, whatever their keys", async () => {
    const server = client();
    const json = '{"__proto__":{"a":1},"constructor":{"prototype":[]},"toJSON":1,"":null,"ü":"😀"}';
    const stream = newStream();
    const body = `{"type":"Odd","data":${json},"metadata":${json}}`;
    expect((await server.post(messagesOf(stream), body)).status).toBe(201);
    expect((await server.post(messagesOf(stream), `{"messages":[${body}]}`)).status).toBe(201);
    const rows = await db.sql`
      select data = ${json}::text::jsonb and metadata = ${json}::text::jsonb as same
      from message_store.messages where stream_name = ${stream}`;
    expect(rows.map(({ same }) => same)).toEqual([true, true]);
    const [message] = (await server.get(messagesOf(stream))).body.messages;
    expect(JSON.parse(JSON.stringify([message.data, message.metadata])))
      .toEqual([JSON.parse(json), JSON.parse(json)]);
    expect(Object.keys(message.data).sort()).toEqual(Object.keys(JSON.parse(json)).sort());
  });

  test("stores any JSON that Postgres can hold, and reads it back", async () => {
    const server = client();
    const stream = newStream();
    const key = fc.string({ unit: "grapheme" }).filter((it) => !it.includes("\0"));
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: "small" },
        fc.constantFrom(null, true, 0, 1.5, -1e-7, 1e21, Number.MAX_SAFE_INTEGER),
        key,
        fc.array(tie("value")),
        fc.dictionary(fc.oneof(key, fc.constant("__proto__")), tie("value")),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(value, async (data) => {
        const { body } = await server.post(messagesOf(stream), { type: "Any", data });
        const read = await server.get(`${messagesOf(stream)}?position=${body.position}`);
        expect(read.body.messages[0].data).toEqual(JSON.parse(JSON.stringify(data)));
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    "9007199254740993",
    "-9007199254740993",
    "1152921504606846976",
    `1${"0".repeat(400)}`,
  ])(
    "refuses to change the integer %s",
    async (integer) => {
      const stream = newStream();
      const { status, body } = await client().post(
        messagesOf(stream),
        `{"type":"Large","data":{"id":[${integer}]}}`,
      );
      expect([status, body.detail]).toEqual([422, expect.stringContaining("write it as text")]);
      expect(await streamVersion(db.sql, stream)).toBe(-1);
    },
  );

  test.each(["9007199254740991", "100000000000000000000", "0.1000000000000000055", "1e400000000"])(
    "looks at numbers alone: %s is data in a text",
    async (number) => {
      const stream = newStream();
      const body = `{"type":"Text","data":["\\\\\\"9007199254740993","${number}"]}`;
      expect((await client().post(messagesOf(stream), body)).status).toBe(201);
    },
  );

  test.each(["9007199254740991", "100000000000000000000", "0.1000000000000000055"])(
    "takes %s, which stays as it is or is a fraction",
    async (number) => {
      const stream = newStream();
      expect((await client().post(messagesOf(stream), `{"type":"N","data":${number}}`)).status)
        .toBe(201);
      const [row] = await db.sql`
        select data = to_jsonb(${number}::text::float8) as same
        from message_store.messages where stream_name = ${stream}`;
      expect(row!["same"]).toBe(true);
    },
  );

  test("keeps null apart from an object, and from what is left out", async () => {
    const stream = newStream();
    for (const data of [null, {}]) {
      await client().post(messagesOf(stream), { type: "T", data, metadata: data });
    }
    await client().post(messagesOf(stream), { type: "T" });
    expect((await readStream(db.sql, stream)).map(({ data, metadata }) => [data, metadata]))
      .toEqual([[null, null], [{}, {}], [null, null]]);
  });

  test.each([
    ["-1 by header", { type: "T" }, "-1"],
    ["-1 by field", { type: "T", expectedVersion: -1 }, undefined],
    ["-1 by both", { type: "T", expectedVersion: -1 }, "-1"],
    ["-1 of a batch by header", { messages: [{ type: "T" }] }, "-1"],
    ["-1 of a batch by field", { messages: [{ type: "T" }], expectedVersion: -1 }, undefined],
  ])("expects version %s, and answers both on a conflict", async (_, body, header) => {
    const stream = newStream();
    const headers: HeadersInit = header === undefined ? {} : { "expected-version": header };
    expect((await client().post(messagesOf(stream), body, headers)).status).toBe(201);
    expect(await client().post(messagesOf(stream), body, headers)).toMatchObject({
      status: 409,
      body: {
        title: "Conflict",
        detail: `Cannot write to stream "${stream}" at expected version -1: ` +
          "the stream is at version 0",
        code: "WRONG_EXPECTED_VERSION",
        streamName: stream,
        expectedVersion: -1,
        actualVersion: 0,
      },
    });
  });

  test("expects version 0, which is one", async () => {
    const stream = newStream();
    const body = { type: "T", expectedVersion: 0 };
    expect((await client().post(messagesOf(stream), body)).status).toBe(409);
    expect(await client().post(messagesOf(stream), { type: "T" }, { "expected-version": "0" }))
      .toMatchObject({ status: 409, body: { expectedVersion: 0, actualVersion: -1 } });
    await write(db.sql, stream, { type: "T" });
    expect((await client().post(messagesOf(stream), body)).body).toEqual({ position: 1 });
  });

  test.each([
    ["header", { type: "T" }, "-4"],
    ["field", { type: "T", expectedVersion: STREAM_EXISTS }, undefined],
    ["field of a batch", { messages: [{ type: "T" }], expectedVersion: STREAM_EXISTS }, undefined],
  ])("expects a stream with a message by %s", async (_, body, header) => {
    const stream = newStream();
    const headers: HeadersInit = header === undefined ? {} : { "expected-version": header };
    expect(await client().post(messagesOf(stream), body, headers)).toMatchObject({
      status: 409,
      body: {
        detail: `Cannot write to stream "${stream}" at expected version STREAM_EXISTS: ` +
          "the stream has no message",
        expectedVersion: STREAM_EXISTS,
        actualVersion: -1,
      },
    });
    await write(db.sql, stream, { type: "T" });
    for (const position of [1, 2]) {
      expect((await client().post(messagesOf(stream), body, headers)).body).toEqual({ position });
    }
  });

  test.each([
    "",
    "x",
    "-2",
    "-3",
    "-04",
    "1.0",
    "1e0",
    "+1",
    "0x1",
    "1, 1",
    "9007199254740993",
    '"1"',
  ])(
    "refuses the header Expected-Version: %s",
    async (version) => {
      const stream = newStream();
      const { server, sent } = watched();
      const headers = { "expected-version": version };
      const { status, body } = await server.post(messagesOf(stream), { type: "T" }, headers);
      expect([status, sent()]).toEqual([422, 0]);
      expect(body.detail).toMatch(
        /^Cannot use .* as "(E|e)xpected-?Version": it must be an integer/,
      );
    },
  );

  test("refuses two expected versions that differ", async () => {
    const { server, sent } = watched();
    const body = { type: "T", expectedVersion: 0 };
    expect((await server.post(messagesOf(newStream()), body, { "expected-version": "-1" })).status)
      .toBe(422);
    expect(sent()).toBe(0);
  });

  test("lets one of many writers win, and tells the others where the stream is", async () => {
    const stream = newStream();
    const racers = 10;
    const answers = await whileLocked(
      db,
      stream,
      racers,
      (sql) =>
        Promise.all(
          Array.from({ length: racers }, (_, at) =>
            api(sql).post(
              messagesOf(stream),
              at % 2 ? { type: "T", expectedVersion: -1 } : { messages: [{ type: "T" }] },
              { "expected-version": "-1" },
            )),
        ),
    );
    expect(answers.filter(({ status }) => status === 201).map(({ body }) => body))
      .toEqual([{ position: 0 }]);
    const lost = answers.filter(({ status }) => status === 409);
    expect(lost).toHaveLength(racers - 1);
    for (const { body } of lost) {
      expect([body.expectedVersion, body.actualVersion]).toEqual([-1, 0]);
    }
    expect(await streamVersion(db.sql, stream)).toBe(0);
  });

  test("answers the first position to a message whose id is sent again", async () => {
    const stream = newStream();
    const message = { type: "T", id: crypto.randomUUID().toUpperCase(), expectedVersion: -1 };
    for (let time = 0; time < 2; time++) {
      expect((await client().post(messagesOf(stream), message)).body).toEqual({ position: 0 });
    }
    expect(await client().post(messagesOf(newStream()), message)).toMatchObject({
      status: 409,
      body: { code: "DUPLICATE_MESSAGE", id: message.id.toLowerCase() },
    });
  });

  describe("with a condition of HTTP", () => {
    const message = { type: "T" };

    test("writes if the ETag is the stream's, as it was answered, and is 412 otherwise", async () => {
      const stream = newStream();
      const none = await client().get(`/streams/${stream}`);
      expect(none.headers.get("etag")).toBe('"-1"');
      let etag = none.headers.get("etag")!;
      for (let version = 0; version < 3; version++) {
        const body = version === 1 ? { messages: [message] } : message;
        const answer = await client().post(messagesOf(stream), body, { "if-match": etag });
        expect([answer.status, answer.headers.get("etag")]).toEqual([201, `"${version}"`]);
        const again = await client().post(messagesOf(stream), body, { "if-match": etag });
        expect([again.status, again.body]).toEqual([
          412,
          expect.objectContaining({
            code: "WRONG_EXPECTED_VERSION",
            expectedVersion: version - 1,
            actualVersion: version,
          }),
        ]);
        etag = answer.headers.get("etag")!;
      }
      expect((await client().get(`/streams/${stream}`)).headers.get("etag")).toBe(etag);
      expect(await streamVersion(db.sql, stream)).toBe(2);
    });

    test("writes to a stream without messages, and to no other, by If-None-Match: *", async () => {
      const stream = newStream();
      const headers = { "if-none-match": "*" };
      expect((await client().post(messagesOf(stream), message, headers)).status).toBe(201);
      expect((await client().post(messagesOf(stream), message, headers)).status).toBe(412);
      const id = crypto.randomUUID();
      const other = newStream();
      for (let time = 0; time < 2; time++) {
        const answer = await client().post(messagesOf(other), { ...message, id }, headers);
        expect(answer.status, "the same message again").toBe(201);
      }
    });

    test("writes to a stream with a message, and to no other, by If-Match: *", async () => {
      const stream = newStream();
      const headers = { "if-match": "*" };
      expect(await client().post(messagesOf(stream), message, headers)).toMatchObject({
        status: 412,
        body: { expectedVersion: STREAM_EXISTS, actualVersion: -1 },
      });
      await write(db.sql, stream, message);
      for (const body of [message, { messages: [message] }]) {
        expect((await client().post(messagesOf(stream), body, headers)).status).toBe(201);
      }
      const both = { ...headers, "if-none-match": "*" };
      expect((await client().post(messagesOf(stream), message, both)).status).toBe(422);
      expect(await streamVersion(db.sql, stream)).toBe(2);
    });

    test.each([
      ["if-match", '"0", "1"', 422],
      ["if-match", '*, "0"', 422],
      ["if-match", "0", 422],
      ["if-match", '"', 422],
      ["if-match", 'W/"0"', 412],
      ["if-match", '"abc"', 412],
      ["if-match", '"00000000000000000000"', 412],
      ["if-none-match", '"0"', 422],
      ["if-none-match", '"0", *', 422],
    ])("does not ignore %s: %s", async (name, value, status) => {
      const stream = newStream();
      await write(db.sql, stream, message);
      const answer = await client().post(messagesOf(stream), message, { [name]: value });
      expect(answer.status).toBe(status);
      expect(await streamVersion(db.sql, stream)).toBe(0);
    });

    test("takes what says the same twice, and refuses what says two things", async () => {
      const stream = newStream();
      const headers = { "if-match": '"-1"', "if-none-match": "*", "expected-version": "-1" };
      const body = { ...message, expectedVersion: -1 };
      expect((await client().post(messagesOf(stream), body, headers)).status).toBe(201);
      for (const other of [{ "if-match": '"0"' }, { "expected-version": "0" }]) {
        const answer = await client().post(messagesOf(stream), body, { ...headers, ...other });
        expect([answer.status, answer.body.detail]).toEqual([422, expect.stringContaining("-1")]);
      }
    });

    test("is looked at by each read, and by /sql", async () => {
      const handle = gateway(db.sql, { authorize: (_, { category }) => category !== "secret" });
      const stream = newStream();
      await write(db.sql, stream, message);
      const ask = async (path: string, headers: HeadersInit, init: RequestInit = {}) =>
        (await handle(new Request(`http://gateway${path}`, { headers, ...init }))).status;
      const version = `/streams/${stream}`;
      for (
        const [path, headers, status] of [
          [version, { "if-none-match": '"0"' }, 304],
          [version, { "if-none-match": '"5", W/"0"' }, 304],
          [version, { "if-none-match": "*" }, 304],
          [version, { "if-none-match": '"1"' }, 200],
          [version, { "if-match": '"0"' }, 200],
          [version, { "if-match": '"5", "0"' }, 200],
          [version, { "if-match": "*" }, 200],
          [version, { "if-match": 'W/"0"' }, 412],
          [version, { "if-match": '"1"' }, 412],
          [messagesOf(stream), { "if-match": '"0"' }, 412],
          [messagesOf(stream), { "if-none-match": '"0"' }, 200],
          [messagesOf(stream), { "if-match": '"0"', accept: "text/event-stream" }, 412],
          ["/streams/secret-1", { "if-match": '"0"' }, 403],
        ] as const
      ) expect([path, headers, await ask(path, headers)]).toEqual([path, headers, status]);
      for (const name of ["if-match", "if-none-match"]) {
        const headers = { "content-type": "application/json", [name]: '"0"' };
        expect(await ask("/sql", headers, { method: "POST", body: "{}" })).toBe(412);
      }
    });
  });

  describe("with an Idempotency-Key", () => {
    const key = () => ({ "idempotency-key": crypto.randomUUID() });

    test.each([
      ["a message", { type: "T" }],
      ["messages", { messages: [{ type: "T" }, { type: "U" }] }],
    ])(
      "writes %s once, and answers as at first, with an expected version, too",
      async (_, body) => {
        const stream = newStream();
        const headers = { ...key(), "expected-version": "-1" };
        const first = await client().post(messagesOf(stream), body, headers);
        await write(db.sql, stream, { type: "Later" });
        const again = await client().post(messagesOf(stream), body, headers);
        expect([again.status, again.body]).toEqual([201, first.body]);
        expect(await streamVersion(db.sql, stream)).toBe(first.body.position + 1);
      },
    );

    test.each([
      ["a message", { type: "T", expectedVersion: -1 }, 0],
      ["messages", { messages: [{ type: "T" }, { type: "U" }], expectedVersion: -1 }, 1],
    ])("writes %s once though 20 clients send it at once", async (_, body, position) => {
      const stream = newStream();
      const headers = key();
      const answers = await whileLocked(
        db,
        stream,
        20,
        (sql) =>
          Promise.all(
            Array.from({ length: 20 }, () => api(sql).post(messagesOf(stream), body, headers)),
          ),
      );
      expect(answers.map(({ status, body }) => [status, body.position]))
        .toEqual(Array(20).fill([201, position]));
      expect(await streamVersion(db.sql, stream)).toBe(position);
    });

    test.each([
      ["a message", { type: "T", data: "x".repeat(1000) }],
      ["messages", { messages: [{ type: "T", data: "x".repeat(1000) }] }],
    ])("writes %s that no answer of this gateway could hold", async (_, body) => {
      const stream = newStream();
      const headers = key();
      const small = api(db.sql, { maxAnswerBytes: 500 });
      for (let time = 0; time < 2; time++) {
        expect((await small.post(messagesOf(stream), body, headers)).status).toBe(201);
      }
      const other = { type: "U" };
      expect((await small.post(messagesOf(stream), other, headers)).status).toBe(422);
    });

    test("reads back no more than a request can have written", async () => {
      const stream = newStream();
      const headers = key();
      const small = api(db.sql, { maxAnswerBytes: 500, maxBodyBytes: 1000 });
      const body = { messages: Array.from({ length: 20 }, () => ({ type: "T" })) };
      expect((await small.post(messagesOf(stream), body, headers)).status).toBe(201);
      await db.sql`
        update message_store.messages
        set data = to_jsonb(repeat('x', 300))
        where stream_name = ${stream}`;
      expect(await small.post(messagesOf(stream), body, headers)).toMatchObject({
        status: 422,
        body: { detail: expect.stringContaining("larger than this request") },
      });
    });

    test("gives ids of version 8 that are the same for ever", async () => {
      const stream = "account-123";
      const headers = { "idempotency-key": "a-key" };
      await client().post(
        messagesOf(stream),
        { messages: [{ type: "T" }, { type: "U" }] },
        headers,
      );
      const ids = (await readStream(db.sql, stream)).map(({ id }) => id);
      // sha256 of ["a-key","account-123",0] and ["a-key","account-123",1]
      expect(ids).toEqual([
        "d3048c21-c75c-889b-802a-396817ea30a7",
        "c2391dfc-eff5-8a23-84b8-ff182b13b731",
      ]);
      for (const id of ids) expect(id).toMatch(/^.{8}-.{4}-8.{3}-[89ab].{3}-.{12}$/);
    });

    test.each([
      ["another type", { type: "U", data: { a: [1], b: "x" } }],
      ["other data", { type: "T", data: { a: [2], b: "x" } }],
      ["metadata", { type: "T", data: { a: [1], b: "x" }, metadata: { c: 1 } }],
    ])("is refused with %s, and nothing is written", async (_, body) => {
      const stream = newStream();
      const headers = key();
      const first = { type: "T", data: { a: [1], b: "x" } };
      await client().post(messagesOf(stream), first, headers);
      const again = { data: { b: "x", a: [1] }, type: "T", metadata: null };
      expect((await client().post(messagesOf(stream), again, headers)).status).toBe(201);
      expect(await client().post(messagesOf(stream), body, headers)).toMatchObject({
        status: 422,
        body: {
          detail: "Cannot use this Idempotency-Key again: it was used for another message, " +
            "at position 0 of the stream",
        },
      });
      expect(await streamVersion(db.sql, stream)).toBe(0);
    });

    test("takes a key in quotes for the key without", async () => {
      const stream = newStream();
      for (const key of ['"k 1"', "k 1"]) {
        const headers = { "idempotency-key": key };
        expect((await client().post(messagesOf(stream), { type: "T" }, headers)).body)
          .toEqual({ position: 0 });
      }
    });

    test("takes another stream, another place or another key for another message", async () => {
      const [one, two] = [newStream(), newStream()];
      const headers = key();
      const messages = [{ type: "T" }, { type: "T" }];
      expect((await client().post(messagesOf(one), { messages }, headers)).status).toBe(201);
      expect((await client().post(messagesOf(two), { messages }, headers)).status).toBe(201);
      expect((await client().post(messagesOf(one), { messages }, key())).body.position).toBe(3);
      expect(await streamVersion(db.sql, two)).toBe(1);
    });

    test("leaves a message's own id as it is", async () => {
      const stream = newStream();
      const id = crypto.randomUUID();
      const headers = key();
      const messages = [{ type: "T" }, { type: "T", id }];
      await client().post(messagesOf(stream), { messages }, headers);
      expect((await client().post(messagesOf(stream), { type: "T", id }, key())).body.position)
        .toBe(1);
      expect((await readStream(db.sql, stream)).map((it) => it.id === id)).toEqual([false, true]);
    });

    test("shows authorize the ids", async () => {
      const { server, calls } = watched();
      const stream = newStream();
      await server.post(messagesOf(stream), { type: "T" }, key());
      const [message] = await readStream(db.sql, stream);
      expect(calls[0]!.messages).toEqual([{ type: "T", id: message!.id }]);
    });

    test("answers 409 to a part of what was sent at first", async () => {
      const stream = newStream();
      const headers = key();
      const message = { type: "T" };
      await client().post(messagesOf(stream), { messages: [message] }, headers);
      expect(
        await client().post(messagesOf(stream), { messages: [message, message] }, headers),
      ).toMatchObject({ status: 409, body: { code: "DUPLICATE_MESSAGE" } });
    });

    test("tells nothing of a message whose id the client chose", async () => {
      const stream = newStream();
      const stored = { type: "Pin", id: crypto.randomUUID(), data: 1234 };
      await write(db.sql, stream, stored);
      for (const data of [1233, 1234]) {
        const { status } = await client().post(messagesOf(stream), { ...stored, data }, key());
        expect(status).toBe(201);
      }
      const mixed = { messages: [{ ...stored, data: 1 }, { type: "T" }] };
      expect((await client().post(messagesOf(newStream()), mixed, key())).body.code)
        .toBe("DUPLICATE_MESSAGE");
    });

    test("has 1 to 255 characters", async () => {
      const stream = newStream();
      for (const key of ["", '""', "x".repeat(256)]) {
        const headers = { "idempotency-key": key };
        const { status, body } = await client().post(messagesOf(stream), { type: "T" }, headers);
        expect([status, body.detail]).toEqual([
          422,
          expect.stringMatching(/^Cannot use .* as "Idempotency-Key": it must be text of 1 to 255/),
        ]);
      }
      for (const key of ["x", "x".repeat(255), `"${"x".repeat(253)}"`]) {
        const headers = { "idempotency-key": key };
        expect((await client().post(messagesOf(stream), { type: "T" }, headers)).status).toBe(201);
      }
      expect(await streamVersion(db.sql, stream)).toBe(2);
    });
  });

  test.each([
    ["null", null, 'Cannot use null as "the body": it must be an object'],
    ["a text", '"T"', 'Cannot use "T" as "the body": it must be an object'],
    ["an array", [], 'Cannot use [] as "the body": it must be an object'],
    ["no type", {}, 'Cannot use undefined as "type": it must be text'],
    ["a type that is a number", { type: 7 }, 'Cannot use 7 as "type": it must be text'],
    ["an empty type", { type: "" }, /^Cannot use "" as "type": it must be text that is not empty/],
    ["a NUL", { type: "\0" }, /^Cannot use "\\u0000" as "type"/],
    ["a NUL in data", { type: "T", data: "\0" }, /^Cannot write "data" as JSON: it holds/],
    ["metadata that is a text", { type: "T", metadata: "x" }, /"metadata": it must be an object$/],
    ["metadata that is an array", { type: "T", metadata: [] }, /"metadata": it must be an object$/],
    ["an id that is none", { type: "T", id: "1" }, 'Cannot use "1" as "id": it must be a UUID'],
    ["a null id", { type: "T", id: null }, 'Cannot use null as "id": it must be a UUID'],
    [
      "a field that is none",
      { type: "T", dta: 1 },
      'Cannot use "dta" in the body: it must be "type" or',
    ],
    [
      "__proto__",
      '{"type":"T","__proto__":{}}',
      'Cannot use "__proto__" in the body: it must be "type" or',
    ],
    ["a text for a version", { type: "T", expectedVersion: "0" }, /as "expectedVersion"/],
    ["a fraction for a version", { type: "T", expectedVersion: 0.5 }, /"expectedVersion"/],
    ["a version of -2", { type: "T", expectedVersion: -2 }, /"expectedVersion"/],
    ["a null version", { type: "T", expectedVersion: null }, /"expectedVersion"/],
    ["messages that are none", { messages: {} }, /as "messages": it must be an array$/],
    ["no messages", { messages: [] }, /"messages": it must be not empty$/],
    ["a message that is none", { messages: [7] }, 'Cannot use 7 as "messages.0": it must be an'],
    ["another type there", { messages: [{ type: "T" }, { type: 7 }] }, /7 as "messages\.1\.type"/],
    ["another field there", { messages: [{ type: "T", x: 1 }] }, 'Cannot use "messages.0.x" in'],
    ["a version there", { messages: [{ type: "T", expectedVersion: 1 }] }, /"messages.0.expected/],
    ["both", { type: "T", messages: [{ type: "T" }] }, 'Cannot use "type" in the body'],
  ])("refuses %s", async (_, body, detail) => {
    const { server, sent, calls } = watched();
    const stream = newStream();
    const answer = await server.post(messagesOf(stream), body);
    expect([answer.status, sent(), calls]).toEqual([422, 0, []]);
    if (typeof detail === "string") expect(answer.body.detail).toContain(detail);
    else expect(answer.body.detail).toMatch(detail);
    expect(answer.body.detail).not.toContain("Invalid");
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])(
    "refuses %s, which a page of another origin could send unasked",
    async (type) => {
      const { server, sent } = watched();
      const headers = { "content-type": type };
      expect((await server.post(messagesOf(newStream()), '{"type":"T"}', headers)).status).toBe(
        415,
      );
      expect(sent()).toBe(0);
    },
  );

  test.each([
    ["account", "a category"],
    ["account-", "a stream without an id"],
    ["-1", "a stream without a category"],
    ["$all-1", "what is not"],
    ["", "nothing"],
    ["a-\0", "a NUL"],
  ])("refuses %s, %s, before authorize is asked", async (name) => {
    const { server, calls, sent } = watched();
    const { status, body } = await server.post(messagesOf(name), { type: "T" });
    expect([status, calls, sent()]).toEqual([422, [], 0]);
    expect(body.detail).toMatch(/^Cannot use .* as "streamName": it must be/);
  });

  test("is limited in bytes and in messages", async () => {
    const server = client({ maxBodyBytes: 100, maxBatchSize: 2 });
    const long = { type: "T", data: "x".repeat(100) };
    expect(await server.post(messagesOf(newStream()), long))
      .toMatchObject({ status: 413, body: { maxBytes: 100 } });
    const messages = [{ type: "T" }, { type: "T" }, { type: "T" }];
    expect(await server.post(messagesOf(newStream()), { messages }))
      .toMatchObject({ status: 422, body: { maxBatchSize: 2 } });
  });

  test("answers what a trigger raises as 422", async () => {
    await db.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$
      begin
        if new.type = 'Refused' then raise exception 'No such thing here'; end if;
        return new;
      end $$;
      create trigger refuse before insert on message_store.messages
        for each row execute function refuse()`);
    expect(await client().post(messagesOf(newStream()), { type: "Refused" }))
      .toMatchObject({ status: 422, body: { detail: expect.stringContaining("No such thing") } });
  });
});

describe("POST /streams", () => {
  const body = (...streams: object[]) => ({ streams });
  const one = (streamName: string, more: object = {}) => ({
    streamName,
    messages: [{ type: "T" }],
    ...more,
  });
  const versionsOf = (...names: string[]) =>
    Promise.all(names.map((name) => streamVersion(db.sql, name)));

  test("writes to several streams, and answers the position of each", async () => {
    const [a, b, c] = [newStream(), newStream(), newStream()];
    await write(db.sql, c, { type: "T" });
    const streams = body(
      one(a, { messages: [{ type: "One", data: 1 }, { type: "Two" }], expectedVersion: -1 }),
      one(c, { messages: [], expectedVersion: STREAM_EXISTS }),
      one(b),
    );
    expect(await client().post("/streams", streams)).toMatchObject({
      status: 201,
      body: { positions: [1, 0, 0] },
    });
    expect((await readStream(db.sql, a)).map(({ type, data }) => [type, data])).toEqual([
      ["One", 1],
      ["Two", null],
    ]);
    expect(await versionsOf(a, b, c)).toEqual([1, 0, 0]);
  });

  test("writes nothing if one stream is at another version", async () => {
    const [a, b] = [newStream(), newStream()];
    expect(await client().post("/streams", body(one(a), one(b, { expectedVersion: 3 }))))
      .toMatchObject({
        status: 409,
        body: { code: "WRONG_EXPECTED_VERSION", streamName: b, expectedVersion: 3 },
      });
    expect(await versionsOf(a, b)).toEqual([-1, -1]);
  });

  test("writes once under one Idempotency-Key, and refuses the key for other messages", async () => {
    const [a, b] = [newStream(), newStream()];
    const headers = { "idempotency-key": crypto.randomUUID() };
    const streams = body(one(a), one(b, { messages: [{ type: "T" }, { type: "U" }] }));
    for (let time = 0; time < 2; time++) {
      expect((await client().post("/streams", streams, headers)).body).toEqual({
        positions: [0, 1],
      });
    }
    const other = body(one(a), one(b, { messages: [{ type: "T" }, { type: "V" }] }));
    expect((await client().post("/streams", other, headers)).status).toBe(422);
    expect(await versionsOf(a, b)).toEqual([0, 1]);
  });

  test("asks authorize about each stream, and writes nothing if one is not allowed", async () => {
    const [a, b] = [newStream(), newStream()];
    const calls: GatewayCall[] = [];
    const server = api(db.sql, {
      authorize: (_, call) => {
        calls.push(call);
        return call.streamName !== b;
      },
    });
    const answer = await server.post("/streams", body(one(a, { expectedVersion: -1 }), one(b)));
    expect([answer.status, await versionsOf(a, b)]).toEqual([403, [-1, -1]]);
    await server.post("/streams", body(one(b)));
    const call = { operation: "writeStreams", writes: true, category: "account" };
    const messages = [{ type: "T" }];
    expect(calls).toEqual([
      { ...call, streamName: a, messages, expectedVersion: -1 },
      { ...call, streamName: b, messages },
      { ...call, operation: "writeBatch", streamName: b, messages },
    ]);
  });

  test.each<[string, object, HeadersInit?]>([
    ["no streams", body()],
    ["no messages and no version", body(one("a-1", { messages: [] }))],
    ["a stream twice", body(one("a-1"), one("a-1"))],
    ["a category", body(one("a"))],
    ["no name", body({ messages: [] })],
    ["an unknown member", body(one("a-1", { expected_version: 1 }))],
    [
      "an unknown member of a message",
      body(one("a-1", { messages: [{ type: "T", metaData: 1 }] })),
    ],
    ["a list", [one("a-1")]],
    ["more messages than a call may have", body(one("a-1"), one("a-2"), one("a-3"), one("a-4"))],
    ["an expected version of all", body(one("a-1")), { "expected-version": "0" }],
  ])("refuses %s", async (_, streams, headers) => {
    let sent = 0;
    const server = api(() => Promise.reject(sent++), { maxBatchSize: 3 });
    expect([(await server.post("/streams", streams, headers)).status, sent]).toEqual([422, 0]);
  });

  test.each<[string, object, string]>([
    ["/streams", body(one("a-1", { expected_version: 1 })), "expectedVersion"],
    ["/streams", body(one("a-1", { messages: [{ type: "T", metaData: 1 }] })), "metadata"],
    ["/streams/a-1/messages", { type: "T", "expected-version": 1 }, "expectedVersion"],
    ["/streams/a-1/messages", { messages: [{ type: "T", meta_data: 1 }] }, "metadata"],
  ])("POST %s with %j is told that %s is meant", async (path, sent, meant) => {
    const { status, body: { detail } } = await client().post(path, sent);
    expect([status, detail.replace(/.* in /, "")]).toEqual([
      422,
      `the body: it must be "${meant}"`,
    ]);
  });

  test("refuses a condition of HTTP, which is about one resource", async () => {
    const stream = newStream();
    for (const name of ["if-match", "if-none-match"]) {
      expect((await client().post("/streams", body(one(stream)), { [name]: "*" })).status).toBe(
        412,
      );
    }
    expect(await versionsOf(stream)).toEqual([-1]);
  });
});

describe("GET", () => {
  test("/streams/{streamName} answers the version, -1 for no message", async () => {
    const stream = newStream();
    const path = `/streams/${stream}`;
    expect((await client().get(path)).body).toEqual({ streamName: stream, version: -1 });
    await writeBatch(db.sql, stream, [{ type: "T" }, { type: "T" }]);
    expect((await client().get(path)).body).toEqual({ streamName: stream, version: 1 });
  });

  test("/streams/{streamName}/messages answers messages as JSON", async () => {
    const stream = newStream();
    await write(db.sql, stream, { type: "T", data: { a: 1 }, metadata: { b: 2 } });
    const [message] = await readStream(db.sql, stream);
    expect((await client().get(messagesOf(stream))).body.messages)
      .toEqual([{ ...message, time: message!.time.toISOString() }]);
    expect((await client().get(messagesOf(newStream()))).body).toEqual({ messages: [] });
  });

  test("/categories/{category}/ids answers the ids of its streams, once each, sorted", async () => {
    const category = `ids${crypto.randomUUID().replaceAll("-", "")}:command`;
    const path = `/categories/${encodeURIComponent(category)}/ids`;
    expect((await client().get(path)).body).toEqual({ ids: [] });
    for (const id of ["2", "10", "1+2", "2", "ä/é"]) {
      await write(db.sql, `${category}-${id}`, { type: "T" });
    }
    await write(db.sql, `${category}+position-9`, { type: "T" });
    expect((await client().get(path)).body).toEqual({ ids: ["1+2", "10", "2", "ä/é"] });
    const { server, calls } = watched();
    await server.get(path);
    expect(calls).toEqual([{ operation: "entityIds", writes: false, category }]);
  });

  test("/categories/{category}/ids refuses what is no category, and who may not", async () => {
    const { server, sent } = watched(false);
    for (
      const [path, status] of [
        ["/categories/account-1/ids", 422],
        ["/categories/$all/ids", 422],
        ["/categories/account/ids?batchSize=5", 422],
        ["/categories/account/ids", 403],
      ] as const
    ) {
      expect([path, (await server.get(path)).status]).toEqual([path, status]);
    }
    expect(sent()).toBe(0);
  });

  test("pages of a stream, a category and all go either way from a position", async () => {
    const category = `cat${crypto.randomUUID().replaceAll("-", "")}`;
    const stream = `${category}-1`;
    await writeBatch(db.sql, stream, ["a", "b", "c", "d"].map((type) => ({ type })));
    const all = await readStream(db.sql, stream);
    const read = async (path: string) =>
      (await client().get(path)).body.messages.map((it: { type: string }) => it.type).join("");
    const [first, second] = all.map(({ globalPosition }) => globalPosition);
    expect(await read(messagesOf(stream))).toBe("abcd");
    expect(await read(`${messagesOf(stream)}?position=1&batchSize=2`)).toBe("bc");
    expect(await read(`${messagesOf(stream)}?direction=backward&batchSize=2`)).toBe("dc");
    expect(await read(`${messagesOf(stream)}?position=1&direction=backward`)).toBe("ba");
    for (const path of [`/categories/${category}/messages`, "/messages"]) {
      expect(await read(`${path}?position=${first}`)).toBe("abcd");
      expect(await read(`${path}?position=${second}&batchSize=2&direction=forward`)).toBe("bc");
      expect(await read(`${path}?direction=backward&batchSize=2`)).toBe("dc");
      expect(await read(`${path}?position=${second}&direction=backward&batchSize=2`)).toBe("ba");
    }
  });

  test("/categories/{category}/messages reads by correlation, and as a member of a group", async () => {
    const metadata = { correlationStreamName: "cart-1" };
    await write(db.sql, "order-1", { type: "T" });
    await write(db.sql, "order-2", { type: "T", metadata });
    const path = "/categories/order/messages";
    const streams = async (query: string) =>
      (await client().get(path + query)).body.messages
        .map(({ streamName }: { streamName: string }) => streamName);
    expect(await streams("")).toEqual(["order-1", "order-2"]);
    expect(await streams("?correlation=cart")).toEqual(["order-2"]);
    const shares = await Promise.all([0, 1, 2].map((it) => streams(`?member=${it}&size=3`)));
    expect(shares.flat().sort()).toEqual(["order-1", "order-2"]);
    expect(shares.some((share) => share.length === 2)).toBe(false);
  });

  test("/streams/{streamName}/messages/last answers the last, or the last of a type", async () => {
    const stream = newStream();
    const path = `${messagesOf(stream)}/last`;
    expect((await client().get(path)).status).toBe(404);
    await writeBatch(db.sql, stream, [{ type: "A" }, { type: "B" }]);
    expect((await client().get(path)).body).toMatchObject({ type: "B", position: 1 });
    expect((await client().get(`${path}?type=A`)).body).toMatchObject({ type: "A", position: 0 });
    expect((await client().get(`${path}?type=C`)).status).toBe(404);
  });

  test("/messages/{id} answers a message", async () => {
    const id = crypto.randomUUID();
    const stream = newStream();
    expect((await client().get(`/messages/${id}`)).status).toBe(404);
    await write(db.sql, stream, { type: "T", id });
    for (const path of [`/messages/${id}`, `/messages/${id.toUpperCase()}`]) {
      expect((await client().get(path)).body).toMatchObject({ id, streamName: stream });
    }
  });

  test("reads a stream whatever its name has, percent-encoded", async () => {
    for (const name of ["a b-/?#%25+&=ü😀'\"\\", "a:command+x-1+2", "a-..", "__proto__-1"]) {
      await client().post(messagesOf(name), { type: "T" });
      expect((await client().get(`/streams/${encodeURIComponent(name)}`)).body)
        .toEqual({ streamName: name, version: 0 });
      expect((await client().get(messagesOf(name))).body.messages[0].streamName).toBe(name);
      const category = encodeURIComponent(name.split("-")[0]!);
      expect((await client().get(`/categories/${category}/messages`)).body.messages.length)
        .toBeGreaterThan(0);
    }
  });

  test.each([
    ["/streams/account/messages", /"streamName": it must be a stream, not a category/],
    ["/streams/", /^Cannot use "" as "streamName"/],
    ["/streams/a%00/messages/last", /"streamName": it must be text/],
    ["/categories/account-1/messages", /"category": it must be a category, without "-"/],
    ["/categories/$all/messages", /"category": it must be a category, and readAll reads all/],
    ["/messages/7", /^Cannot use "7" as "id": it must be a UUID$/],
    ["/messages/", /^Cannot use "" as "id": it must be a UUID$/],
    ["/messages?position=abc", /^Cannot use "abc" as "position": it must be an integer from 0$/],
    ["/messages?position=-1", /^Cannot use "-1" as "position": it must be an integer/],
    ["/messages?position=1.5", /"position"/],
    ["/messages?position=1e3", /"position"/],
    ["/messages?position=0x10", /"position"/],
    ["/messages?position=+1", /"position"/],
    ["/messages?position=", /^Cannot use "" as "position"/],
    ["/messages?position=9007199254740993", /as "position": it must be an integer/],
    ["/messages?position=99999999999999999999", /as "position": it must be an integer/],
    ["/messages?batchSize=0", /^Cannot use "0" as "batchSize": it must be an integer from 1/],
    ["/messages?batchSize=1001", /a call may have 1000 at most/],
    [
      "/messages?direction=up",
      /^Cannot use "up" as "direction": it must be "forward" or "backward"$/,
    ],
    [
      "/messages?positon=1",
      /^Cannot use "positon" in the query: it must be "position" or "batchSize" or "direction"$/,
    ],
    ["/messages?batch_size=1", /^Cannot use "batch_size" in the query: it must be "batchSize"$/],
    ["/messages?__proto__=1", /^Cannot use "__proto__" in the query/],
    ["/messages?constructor=1", /^Cannot use "constructor" in the query/],
    ["/messages?position=1&position=2", /^Cannot use "position" in the query twice$/],
    ["/messages?correlation=a", /^Cannot use "correlation" in the query/],
    ["/streams/a-1?position=1", /^Cannot use "position" in the query: it must be left out$/],
    ["/streams/a-1/messages/last?type=", /^Cannot use "" as "type"/],
    ["/categories/a/messages?member=0", /it takes "member" and "size"$/],
    ["/categories/a/messages?size=1", /it takes "member" and "size"$/],
    [
      "/categories/a/messages?member=2&size=2",
      /^Cannot use 2 as "member": it must be an integer from 0 to 1$/,
    ],
    ["/categories/a/messages?member=0&size=0", /^Cannot use "0" as "size": it must be an integer/],
    ["/categories/a/messages?member=0&size=32768", /^Cannot use "32768" as "size".* 1 to 32767$/],
    ["/categories/a/messages?correlation=a-1", /"correlation": it must be a category/],
  ])("%s is refused, and asks nothing of authorize or the database", async (path, detail) => {
    const { server, sent, calls } = watched();
    const answer = await server.get(path);
    // The limits are looked at together with the rights.
    expect([answer.status, sent(), calls.length]).toEqual([422, 0, 0]);
    expect(answer.body.detail).toMatch(detail);
  });

  test("reads as many as a call may have, if not told how many", async () => {
    const stream = newStream();
    await writeBatch(db.sql, stream, Array(3).fill({ type: "T" }));
    const server = client({ maxBatchSize: 2 });
    expect((await server.get(messagesOf(stream))).body.messages).toHaveLength(2);
    expect((await server.get(`${messagesOf(stream)}?batchSize=3`)).status).toBe(422);
    const { server: other, calls } = watched();
    await other.get(messagesOf(stream));
    expect(calls[0]!.batchSize).toBe(100);
  });
});

describe("authorize", () => {
  const position = { position: 1, batchSize: 7, direction: "backward" };
  const query = "?position=1&batchSize=7&direction=backward";
  test.each<[string, string, unknown, object]>([
    ["POST", "/streams/a:b-1/messages", { type: "T", data: 1, expectedVersion: 5 }, {
      operation: "write",
      writes: true,
      streamName: "a:b-1",
      category: "a:b",
      messages: [{ type: "T", data: 1 }],
      expectedVersion: 5,
    }],
    ["POST", "/streams/a-1/messages", { messages: [{ type: "T" }] }, {
      operation: "writeBatch",
      writes: true,
      streamName: "a-1",
      category: "a",
      messages: [{ type: "T" }],
      expectedVersion: undefined,
    }],
    ["GET", `/streams/a-1/messages${query}`, undefined, {
      operation: "readStream",
      writes: false,
      streamName: "a-1",
      category: "a",
      ...position,
    }],
    ["GET", `/categories/a/messages${query}&correlation=b&member=0&size=2`, undefined, {
      operation: "readCategory",
      writes: false,
      category: "a",
      ...position,
      correlation: "b",
      consumerGroup: { member: 0, size: 2 },
    }],
    ["GET", `/messages${query}`, undefined, { operation: "readAll", writes: false, ...position }],
    ["GET", "/streams/a-1/messages/last?type=T", undefined, {
      operation: "readLastMessage",
      writes: false,
      streamName: "a-1",
      category: "a",
      type: "T",
    }],
    ["GET", "/streams/a-1", undefined, {
      operation: "streamVersion",
      writes: false,
      streamName: "a-1",
      category: "a",
    }],
    ["GET", "/messages/00000000-0000-7000-8000-000000000000", undefined, {
      operation: "readMessages",
      writes: false,
      ids: ["00000000-0000-7000-8000-000000000000"],
    }],
  ])(
    "is asked about %s %s, and nothing is sent where it refuses",
    async (method, path, body, call) => {
      const { server, sent, calls } = watched(false);
      expect((await server.send(method, path, body)).status).toBe(403);
      expect(calls).toEqual([call]);
      expect(sent()).toBe(0);
    },
  );

  test("does not tell who may not read whether there is something", async () => {
    const id = crypto.randomUUID();
    await write(db.sql, newStream(), { type: "T", id });
    const { server } = watched(false);
    const answers = [id, crypto.randomUUID()].map((it) => server.get(`/messages/${it}`));
    const [there, missing] = await Promise.all(answers);
    expect(there!.body).toEqual(missing!.body);
  });

  test("is not asked about the document, which holds no data", async () => {
    const { server } = watched(false);
    expect((await server.get("/openapi.json")).status).toBe(200);
  });
});

test("an access_token in the query is for the rule: an EventSource has no headers", async () => {
  const authorize = ({ url }: Request) => new URL(url).searchParams.get("access_token") === "t";
  const { get } = api(db.sql, { authorize });
  for (
    const path of [
      ...["/streams/a-1", "/streams/a-1/messages", "/streams/a-1/messages/last"],
      ...["/categories/a/messages", "/messages", `/messages/${crypto.randomUUID()}`],
    ]
  ) {
    expect((await get(`${path}?access_token=t`)).status).toBeOneOf([200, 404]);
    expect((await get(`${path}?access_token=u`)).status).toBe(403);
  }
});

describe("a path", () => {
  test.each([
    [
      "/",
      "//",
      "/categories",
      "/streams/a-1/",
      "/streams/a-1/messages/",
      "/categories/a",
    ],
    ["/streams/a-1/messages/last/", "/streams/a-1/messages/first", "/messages/a/b", "/Messages"],
    ["/__proto__", "/constructor", "/streams/a-1/%6Dessages", "/openapi.json/", "/sql/"],
  ].flat())("that is none is 404: %s", async (path) => {
    const { status, body } = await client().get(path);
    expect([status, body.detail])
      .toEqual([
        404,
        expect.stringMatching(/^There is nothing here: statements go to \/sql, and \/openapi.json/),
      ]);
  });

  test.each([
    ["DELETE", "/streams/a-1/messages", "GET, HEAD, POST"],
    ["PUT", "/streams/a-1", "GET, HEAD"],
    ["POST", "/messages", "GET, HEAD"],
    ["POST", "/openapi.json", "GET, HEAD"],
    ["GET", "/sql", "POST"],
    ["OPTIONS", "/messages", "GET, HEAD"],
    ["constructor", "/messages", "GET, HEAD"],
    ["__proto__", "/messages", "GET, HEAD"],
    ["toString", "/sql", "POST"],
  ])("takes no %s: %s", async (method, path, allow) => {
    const { server, calls } = watched();
    const answer = await server.send(method, path);
    expect([answer.status, answer.headers.get("allow"), calls]).toEqual([405, allow, []]);
  });

  test("takes HEAD where it takes GET, and answers as to that, without the body", async () => {
    const handle = gateway(db.sql, { authorize: () => true });
    for (const accept of ["*/*", "text/event-stream"]) {
      const [head, get] = await Promise.all(
        ["HEAD", "GET"].map((method) =>
          handle(new Request("http://gateway/messages", { method, headers: { accept } }))
        ),
      );
      expect([head!.status, [...head!.headers]]).toEqual([get!.status, [...get!.headers]]);
      expect(head!.body).toBeNull();
      await get!.body!.cancel();
    }
    const missing = await handle(new Request("http://gateway/messages/x", { method: "HEAD" }));
    expect(missing.status).toBe(422);
  });

  test.each([
    "/streams/%ff",
    "/streams/%/messages",
    "/categories/%c3%28/messages",
    "/messages/%e0",
  ])(
    "that is not percent-encoded UTF-8 is 400: %s",
    async (path) => {
      expect((await client().get(path)).status).toBe(400);
    },
  );

  test("is under the base path", async () => {
    const stream = newStream();
    const server = client({ basePath: "/events/v1" });
    expect((await server.post(messagesOf(stream), { type: "T" })).status).toBe(201);
    const handle = gateway(db.sql, { authorize: () => true, basePath: "/events/v1" });
    const none = ["", "/events", "/events/v1x", "/others/v1"].map((base) =>
      base + messagesOf(stream)
    );
    for (const path of [...none, "/openapi.json", "/events/v1"]) {
      expect((await handle(new Request(`http://gateway${path}`))).status).toBe(404);
    }
  });
});

test("no answer may be kept by a cache", async () => {
  for (const path of ["/messages", "/openapi.json", "/nothing", "/messages?position=x"]) {
    expect((await client().get(path)).headers.get("cache-control")).toBe("no-store");
  }
});

describe("a database", () => {
  test("without Message DB is 500, since to come again would not help", async () => {
    const errors: unknown[] = [];
    const sql = db.connect({ database: "postgres", max: 1 });
    const server = api(sql, { onError: (error) => errors.push(error) });
    const answers = [
      await server.get("/messages"),
      await server.get("/streams/a-1"),
      await server.post("/streams/a-1/messages", { type: "T" }),
    ];
    for (const { status, body } of answers) {
      expect([status, body.detail]).toEqual([500, "The gateway failed: its log says why"]);
    }
    expect(errors).toHaveLength(3);
  });

  test("whose onError throws is answered all the same", async () => {
    const server = api(() => Promise.reject(new Error("Broken")), {
      onError: () => {
        throw new Error("Nobody hears");
      },
    });
    expect((await server.get("/messages")).status).toBe(500);
  });
});
