/** What test/linear.test.ts runs in a process of its own: a place of `src`, with texts of a megabyte. */
import {
  aggregate,
  cardinalId,
  category,
  defineMessages,
  follow,
  fromQuery,
  ids,
  type Message,
  readAll,
  readCategory,
  readMatching,
  readStream,
  type Sql,
  streamName,
  streamVersion,
  types,
  write,
} from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";
import { gateway } from "@messagedb/client/gateway";
import process from "node:process";
import * as z from "zod";
import { isOwnMessage } from "../src/names/_own_streams.ts";

const LENGTH = 1_000_000;

/** Milliseconds that a tenth of the length may take: what is not linear takes seconds for it. */
const SOON = 20;

type Repeat = (start: string, repeated: string, end?: string) => string;

const repeatTo = (length: number): Repeat => (start, repeated, end = "") =>
  start + repeated.repeat(length / repeated.length) + end;

const textsOf = (repeat: Repeat): readonly string[] => [
  ...[
    "0",
    "1",
    "9",
    " ",
    "\\",
    '"',
    "'",
    "-",
    "+",
    ":",
    "a",
    "\n",
    "\0",
    "%",
    "_",
    "$",
    "(",
    "{",
    "[",
    "\ud800",
  ]
    .map((it) => repeat("a", it, "1")),
  ...[
    "a+",
    "+:",
    ":+-",
    "a:position-",
    "$all-",
    "\\\\u0000",
    "\\u",
    "\\%",
    "0.",
    "1e",
    "-1",
    ", 1",
    "a-1+",
  ]
    .map((it) => repeat("", it, "!")),
  repeat("", "Wrong expected version: 1 (Stream: ", ")"),
  repeat("Wrong expected version: 1 (Stream: ", ", Stream Version: 1", "!"),
  repeat("", '(stream_name, "position")=(', ")"),
  repeat('(stream_name, "position")=(', ", 1", "!"),
  repeat("", "(id)=(", "!"),
  repeat("function ", "_messages", "!"),
];

/** JSON that is large, as it stands. */
const jsonsOf = (length: number, repeat: Repeat, texts: readonly string[]): readonly string[] => [
  ...["0", "1", "9", "10"].flatMap((it) => [
    repeat("1", it, "1"),
    repeat("0.", it, "1"),
    repeat("1.", it),
    repeat("1e", it),
    repeat("1", it, "e-1"),
    repeat("-1", it, ".5"),
  ]),
  repeat("", "["),
  repeat("", '{"a":'),
  repeat("[", "0,", "0]"),
  repeat("[", "1e308,", "0]"),
  repeat("[", "1000000000000000000001,", "0]"),
  repeat("[", "1.", "0]"),
  repeat('"', "\\\\", '"'),
  repeat('"', '\\"', '"'),
  repeat('"', "\\u0000", '"'),
  repeat('"', "\\\\u0000", '"'),
  repeat('"', "\\ud800", '"'),
  repeat("{", '"a":1,', '"a":1}'),
  `{${Array.from({ length: length / 12 }, (_, at) => `"k${at}":${at}`).join()}}`,
  repeat("", "[", "]".repeat(length)),
  ...texts.map((it) => JSON.stringify(it)),
];

const nothing: Sql = () => Promise.resolve([{ json: "-1" }]);

/** Does work with texts of a length. The label tells what it is at. */
type Run = (label: string, work: () => unknown) => Promise<void>;

/** What was not done soon with a tenth of the length. */
const slow = new Set<string>();

/** No error is of interest, only that there is an end. The whole length is for what is slow with a tenth of it. */
const runWith = (length: number): Run => async (label, work) => {
  if (length === LENGTH && !slow.has(label)) return;
  console.log(label);
  const start = performance.now();
  try {
    await work();
  } catch {
    // Most of these are refused.
  }
  if (performance.now() - start > SOON) slow.add(label);
};

const label = (name: string, text: string): string => `${name}: ${text.slice(0, 40)}`;

/** The statement that an operation sends. */
async function statementOf(
  operation: (sql: Sql) => Promise<unknown>,
): Promise<{ query: string; params: readonly (string | null)[] }> {
  return await new Promise((resolve) => {
    operation(fromQuery((query, params) => {
      resolve({ query, params });
      return new Promise(() => {});
    })).catch(() => {});
  });
}

interface Given {
  readonly length: number;
  readonly texts: readonly string[];
  readonly jsons: readonly string[];
  readonly run: Run;
}

const places: Readonly<Record<string, (given: Given) => Promise<void>>> = {
  gateway: async ({ texts, jsons, run }) => {
    const limits = { maxBodyBytes: 10 * LENGTH, onError: () => {} };
    const handle = gateway(nothing, { authorize: () => true, ...limits });
    const send = async (path: string, body: string, headers = {}) => {
      const all = { "content-type": "application/json", ...headers };
      const request = new Request(`http://gateway${path}`, { method: "POST", headers: all, body });
      await (await handle(request)).text();
    };
    const messages = "/streams/a-1/messages";
    const key = { "idempotency-key": "k" };
    for (const json of jsons) {
      await run(label("data", json), () => send(messages, `{"type":"T","data":${json}}`, key));
      await run(label("batch", json), () => send(messages, `{"messages":[${json}]}`));
    }
    const statements = await Promise.all([
      statementOf((sql) => write(sql, "a-1", { type: "T", data: 1 })),
      statementOf((sql) => readCategory(sql, "a", { correlation: "a" })),
      statementOf((sql) => readMatching(sql, "a%")),
    ]);
    for (const text of texts) {
      await run(
        label("text", text),
        () => send(messages, JSON.stringify({ type: text, id: text })),
      );
      await run(label("header", text), () => send(messages, "{}", { "idempotency-key": text }));
      await run(label("if-match", text), () => send(messages, "{}", { "if-match": text }));
      await run(
        label("query", text),
        () => send(`${messages}?a=${encodeURIComponent(text)}`, "{}"),
      );
      await run(
        label("path", text),
        () => send(`/streams/${encodeURIComponent(text)}/messages`, "{}"),
      );
      await run(label("url", text), () => send(`/${text}`, "{}"));
      for (const { query, params } of statements) {
        for (const at of params.keys()) {
          const changed = params.map((it, place) => place === at ? text : it);
          await run(
            label(`param ${at}`, text),
            () => send("/sql", JSON.stringify({ query, params: changed })),
          );
        }
      }
    }
  },

  fetchSql: async ({ texts, run }) => {
    const answered = async (status: number, answer: string) => {
      const respond = () => Promise.resolve(new Response(answer, { status }));
      const sql = fetchSql("http://gateway/sql", { fetch: respond });
      await run(label(String(status), answer), () => write(sql, "a-1", { type: "T" }));
    };
    for (const text of texts) {
      await answered(200, text);
      await answered(200, JSON.stringify({ rows: [{ json: text }] }));
      await answered(403, JSON.stringify({ detail: text, code: text }));
      for (const constraint of ["messages_stream", "messages_id"]) {
        for (const code of ["P0001", "23505", "42P01", "42501", text]) {
          await answered(400, JSON.stringify({ code, message: text, detail: text, constraint }));
        }
      }
    }
  },

  names: async ({ texts, run }) => {
    for (const text of texts) {
      for (const take of [category, cardinalId, ids, types]) {
        await run(label(take.name, text), () => take(text));
      }
      await run(label("streamName", text), () => streamName(text, text, [text]));
      await run(label("streamVersion", text), () => streamVersion(nothing, text));
      await run(label("readMatching", text), () => readMatching(nothing, text));
      await run(
        label("readCategory", text),
        () => readCategory(nothing, text, { correlation: text }),
      );
      await run(
        label("aggregate", text),
        () =>
          aggregate(nothing, { name: text, from: [text], partition: () => text }, { once: true }),
      );
      await run(label("write", text), () => write(nothing, text, { type: text, id: text }));
    }
  },

  messages: async ({ length, texts, run }) => {
    const message: Message = {
      id: crypto.randomUUID(),
      streamName: "a-1",
      type: "T",
      position: 0,
      globalPosition: 1,
      data: null,
      metadata: null,
      time: new Date(),
    };
    const catalogue = defineMessages({ T: z.unknown() });
    const kept = { entityData: 1, entityVersion: 1, error: 1, message: {}, attempts: 1 };
    const data = [...Array.from({ length: length / 50 }, () => kept), "x"];
    for (const own of ["snapshot", "parked", "position"]) {
      for (const type of ["Recorded", "Parked"]) {
        const streamName = `a:${own}-1`;
        await run(own, () => isOwnMessage({ ...message, streamName, type, data: { data } }));
      }
    }
    for (const text of texts) {
      const metadata = { schemaVersion: text, correlationStreamName: text };
      const given = { type: "T", data: { [text]: text }, metadata };
      await run(label("write", text), () => write(nothing, "a-1", given));
      await run(
        label("follow", text),
        () => follow({ ...message, streamName: text, metadata }, { type: text }),
      );
      const columns = {
        id: [text],
        streamName: [text],
        type: [text],
        position: [0],
        globalPosition: [1],
        data: [text],
        metadata: [metadata],
        time: [0],
        gap: null,
        count: 1,
        last: 1,
        isQuiet: false,
        snapshot: null,
        store: text,
      };
      const stored: Sql = () => Promise.resolve([{ json: JSON.stringify(columns) }]);
      await run(label("read", text), () => readStream(stored, "a-1", { messages: catalogue }));
      await run(label("readAll", text), () => readAll(stored));
    }
  },
};

for (const length of [LENGTH / 10, LENGTH]) {
  const repeat = repeatTo(length);
  const texts = textsOf(repeat);
  const jsons = jsonsOf(length, repeat, texts);
  await places[process.argv[2]!]!({ length, texts, jsons, run: runWith(length) });
}
console.log("done");
