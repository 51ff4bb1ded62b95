/** What TypeScript says of the likeliest slips in a consumer: it names what is wrong. */
import ts from "typescript";
import { expect, test } from "vitest";
import { pathOf } from "../_path_of.ts";

/** The slip, what TypeScript underlines in it, and the words that name what is wrong. */
type Slip = readonly [code: string, underlined: string, words: string];

const slips: Record<string, Slip> = {
  "no consumerId": [
    `drain(sql, { category, handle() {} });`,
    "{ category, handle() {} }",
    "Property 'consumerId' is missing",
  ],
  "consumerID": [
    `drain(sql, { category, consumerID: "x", handle() {} });`,
    "consumerID",
    "Did you mean to write 'consumerId'?",
  ],
  "an unknown option": [
    `drain(sql, { category, consumerId, handle() {}, onErorr: "park" });`,
    "onErorr",
    "Did you mean to write 'onError'?",
  ],
  "no handler": [
    `drain(sql, { category, consumerId });`,
    "{ category, consumerId }",
    "Property 'handle' is missing",
  ],
  "handle and handlers": [
    `drain(sql, { category, consumerId, handle() {}, handlers: {} });`,
    "{ category, consumerId, handle() {}, handlers: {} }",
    "Types of property 'handlers' are incompatible.",
  ],
  "handlers and handlePage": [
    `drain(sql, { category, consumerId, handlers: {}, handlePage() {} });`,
    "{ category, consumerId, handlers: {}, handlePage() {} }",
    "Types of property 'handlePage' are incompatible.",
  ],
  "handlers and types": [
    `drain(sql, { category, consumerId, types: ["A"], handlers: {} });`,
    `{ category, consumerId, types: ["A"], handlers: {} }`,
    "Types of property 'types' are incompatible.",
  ],
  "handle and unknown": [
    `drain(sql, { category, consumerId, handle() {}, unknown: "refuse" });`,
    "unknown",
    "'unknown' does not exist in type 'MessageConsumer<",
  ],
  "a handler of a type that the catalogue lacks": [
    `drain(sql, { category, consumerId, messages, handlers: { Opened() {} } });`,
    "Opened",
    "'Opened' does not exist in type 'Handlers<",
  ],
  "a handler of other data": [
    `drain(sql, {
      category,
      consumerId,
      messages,
      handlers: { Deposited(_: Message<{ amount: string }>) {} },
    });`,
    "Deposited",
    "The types of 'data.amount' are incompatible between these types.",
  ],
  "a handler that answers a text": [
    `drain(sql, { category, consumerId, handle: () => "OK" });`,
    "handle",
    `Type '"OK"' is not assignable to type 'HandlerAnswer | PromiseLike<HandlerAnswer>'.`,
  ],
  "a handler that answers the promise of a text": [
    `declare const redis: { set(): Promise<string | null> };
    drain(sql, { category, consumerId, handlers: { A: () => redis.set() } });`,
    "A",
    "Type 'Promise<string | null>' is not assignable to type 'HandlerAnswer | PromiseLike<HandlerAnswer>'.",
  ],
  "a verdict with a mistake": [
    `drain(sql, { category, consumerId, handle: async () => "parked" });`,
    "handle",
    "Type 'string' is not assignable to type 'HandlerAnswer'.",
  ],
  "a generator": [
    `drain(sql, { category, consumerId, *handle() {} });`,
    "handle",
    "Types of property 'next' are incompatible.",
  ],
  "another startAt": [
    `drain(sql, { category, consumerId, handle() {}, startAt: "now" });`,
    "startAt",
    `Type '"now"' is not assignable to type 'StartAt | undefined'.`,
  ],
  "another policy": [
    `drain(sql, { category, consumerId, handle() {}, onError: { retry: 3, then: "parked" } });`,
    "then",
    "Did you mean '\"park\"'?",
  ],
  "a commitInterval without transactions": [
    `drain(sql, { category, consumerId, handle() {}, commitInterval: 10 });`,
    "commitInterval",
    "Type 'number' is not assignable to type 'undefined'.",
  ],
  "parallel transactions": [
    `drain(sql, { category, consumerId, handle() {}, transactional: true, concurrency: 2 });`,
    "concurrency",
    "Type '2' is not assignable to type '1'.",
  ],
  "transactions over a handle that has none": [
    `drain(plain, { category, consumerId, handle() {}, transactional: true });`,
    "plain",
    "Property 'begin' is missing in type 'Sql'",
  ],
  "a constant without a consumerId": [
    `const it = { category, handle() {} };
    drain(sql, it);`,
    "it",
    "Property 'consumerId' is missing",
  ],
  "a constant without a handler": [
    `const it = { category, consumerId };
    drain(sql, it);`,
    "it",
    "Property 'handle' is missing",
  ],
  "a constant with two handlers": [
    `const it = { category, consumerId, handle() {}, handlers: { A() {} } };
    drain(sql, it);`,
    "it",
    "Types of property 'handlers' are incompatible.",
  ],
  "a constant whose policy is widened": [
    `const it = { category, consumerId, handle() {}, onError: { retry: 3, then: "park" } };
    drain(sql, it);`,
    "it",
    "Types of property 'onError' are incompatible.",
  ],
  "a constant whose start is widened": [
    `const it = { category, consumerId, handle() {}, startAt: "end" };
    drain(sql, it);`,
    "it",
    "Types of property 'startAt' are incompatible.",
  ],
  "a constant whose handler answers a text": [
    `const it = { category, consumerId, handle: () => "OK" };
    drain(sql, it);`,
    "it",
    "The types returned by 'handle(...)' are incompatible between these types.",
  ],
  "a Consumer without a consumerId": [
    `const it: Consumer<postgres.Sql> = { category, handle() {} };`,
    "it",
    "Property 'consumerId' is missing",
  ],
  "a Consumer without a handler": [
    `const it: Consumer<postgres.Sql> = { category, consumerId };`,
    "it",
    "Property 'handle' is missing",
  ],
  "a Consumer with two handlers": [
    `const it: Consumer<postgres.Sql> = { category, consumerId, handle() {}, handlers: {} };`,
    "it",
    "Types of property 'handlers' are incompatible.",
  ],
  "a Consumer whose handler answers a text": [
    `const it: Consumer<postgres.Sql> = { category, consumerId, handle: () => "OK" };`,
    "handle",
    `Type '"OK"' is not assignable to type 'HandlerAnswer | PromiseLike<HandlerAnswer>'.`,
  ],
  "a Consumer with transactions over a handle that has none": [
    `const it: Consumer = { category, consumerId, handle() {}, transactional: true };`,
    "transactional",
    "Type 'true' is not assignable to type 'false'.",
  ],
};

const head = `
import type postgres from "postgres";
import { type Consumer, defineMessages, drain, type Message, type Sql } from "@messagedb/client";
import * as z from "zod";
declare const sql: postgres.Sql;
declare const plain: Sql;
const messages = defineMessages({ Deposited: z.object({ amount: z.number() }) });
const [category, consumerId] = ["account", "balances"];
`;
const files = new Map(
  Object.entries(slips).map(([title, [code]], at) => {
    return [pathOf(`test/consume/_slip${at}.ts`), { title, text: head + code }];
  }),
);

function compile(): ts.Program {
  const { config } = ts.readConfigFile(pathOf("tsconfig.json"), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, pathOf("."));
  const host = ts.createCompilerHost(options);
  const getSourceFile = host.getSourceFile.bind(host);
  host.getSourceFile = (name, version, ...rest) => {
    const file = files.get(name);
    return file
      ? ts.createSourceFile(name, file.text, version)
      : getSourceFile(name, version, ...rest);
  };
  return ts.createProgram([...files.keys()], { ...options, noUnusedLocals: false }, host);
}

test("TypeScript names what is wrong with a consumer", () => {
  const program = compile();
  for (const [path, { title, text }] of files) {
    const [, underlined, words] = slips[title]!;
    const said = program.getSemanticDiagnostics(program.getSourceFile(path)).map((it) => {
      const all = ts.flattenDiagnosticMessageText(it.messageText, "\n");
      return [text.slice(it.start, it.start! + it.length!), all.includes(words) ? words : all];
    });
    expect.soft(said, title).toEqual([[underlined, words]]);
  }
});
