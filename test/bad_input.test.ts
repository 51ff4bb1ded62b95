import assert from "node:assert/strict";
import { describe, test } from "vitest";
import * as client from "../mod.ts";
import { fetchSql } from "../src/http/fetch_sql.ts";
import { gateway } from "../src/http/gateway.ts";
import { operations } from "./_operations.ts";

/** A handle that must not be reached. */
const sql: client.Sql = () => {
  throw new Error("something was sent");
};
const message = { type: "Written" };
// deno-lint-ignore no-explicit-any -- bad input is what the types refuse
const any = (value: unknown): any => value;

const cases: [
  string,
  () => Promise<unknown>,
  typeof TypeError | typeof RangeError,
  RegExp,
][] = [];
function refuse(
  what: string,
  call: () => Promise<unknown>,
  Class: typeof TypeError | typeof RangeError,
  message: RegExp,
) {
  cases.push([what, call, Class, message]);
}

const writers = {
  write: (name: unknown, options?: unknown) => client.write(sql, any(name), message, any(options)),
  writeBatch: (name: unknown, options?: unknown) =>
    client.writeBatch(sql, any(name), [message], any(options)),
  append: (name: unknown, options?: unknown) =>
    client.append(sql, any(name), message, any(options)),
  writeStreams: (name: unknown, options: unknown = {}) =>
    client.writeStreams(sql, [{
      streamName: any(name),
      messages: [message],
      ...any(options),
    }]),
  synchronize: (name: unknown, options?: unknown) =>
    client.synchronize(sql, any(name), [{
      ...message,
      id: crypto.randomUUID(),
    }], any(options)),
};
const streamReads = {
  readStream: (name: unknown, options?: unknown) => client.readStream(sql, any(name), any(options)),
  readLastMessage: (name: unknown) => client.readLastMessage(sql, any(name)),
  streamVersion: (name: unknown) => client.streamVersion(sql, any(name)),
  iterateStream: (name: unknown, options?: unknown) =>
    client.iterateStream(sql, any(name), any(options)).next(),
};
const categoryReads = {
  readCategory: (name: unknown, options?: unknown) =>
    client.readCategory(sql, any(name), any(options)),
  iterateCategory: (name: unknown, options?: unknown) =>
    client.iterateCategory(sql, any(name), any(options)).next(),
  streamNames: (name: unknown) => client.streamNames(sql, any(name)),
  entityIds: (name: unknown) => client.entityIds(sql, any(name)),
};

for (
  const [operation, call] of Object.entries({ ...writers, ...streamReads })
) {
  for (const name of ["", undefined, null, 5, {}, "nul-\0", "half-\ud800"]) {
    refuse(
      `${operation}() of stream ${JSON.stringify(name)}`,
      () => call(name),
      TypeError,
      /"streamName"/,
    );
  }
}
for (const operation of ["readStream", "iterateStream"] as const) {
  refuse(
    `${operation}() of a category`,
    () => streamReads[operation]("account"),
    TypeError,
    /"account" as "streamName"/,
  );
}
for (const [operation, call] of Object.entries(writers)) {
  for (const name of ["account", "$all", "-1", "account-", "-"]) {
    refuse(
      `${operation}() of stream "${name}"`,
      () => call(name),
      TypeError,
      /"streamName"/,
    );
  }
  for (const expectedVersion of [-2, 1.5, NaN, Infinity, 2 ** 53]) {
    refuse(
      `${operation}() at expected version ${expectedVersion}`,
      () => call("account-1", { expectedVersion }),
      RangeError,
      /"expectedVersion"/,
    );
  }
  for (const expectedVersion of ["1", null, 1n]) {
    refuse(
      `${operation}() at expected version ${typeof expectedVersion}`,
      () => call("account-1", { expectedVersion }),
      TypeError,
      /"expectedVersion"/,
    );
  }
}
for (const [operation, call] of Object.entries(categoryReads)) {
  for (const name of ["", undefined, 5, "nul\0"]) {
    refuse(
      `${operation}() of category ${JSON.stringify(name)}`,
      () => call(name),
      TypeError,
      /"category"/,
    );
  }
  refuse(
    `${operation}() of a stream`,
    () => call("account-1"),
    TypeError,
    /"account-1" as "category"/,
  );
}

const pages = {
  readStream: (options: unknown) => client.readStream(sql, "account-1", any(options)),
  readCategory: (options: unknown) => client.readCategory(sql, "account", any(options)),
  readAll: (options: unknown) => client.readAll(sql, any(options)),
  readMatching: (options: unknown) => client.readMatching(sql, "%", any(options)),
  read: (options: unknown) => client.read(sql, "$all", any(options)),
  iterateAll: (options: unknown) => client.iterateAll(sql, any(options)).next(),
  iterateMatching: (options: unknown) => client.iterateMatching(sql, "%", any(options)).next(),
};
for (const [operation, call] of Object.entries(pages)) {
  for (const position of [-1, 0.5, NaN, 2 ** 53]) {
    refuse(
      `${operation}() from position ${position}`,
      () => call({ position }),
      RangeError,
      /"position"/,
    );
  }
  for (const batchSize of [0, -1, 1.5, Infinity]) {
    refuse(
      `${operation}() of ${batchSize} messages`,
      () => call({ batchSize }),
      RangeError,
      /"batchSize"/,
    );
  }
  refuse(
    `${operation}() from position "1"`,
    () => call({ position: "1" }),
    TypeError,
    /"position"/,
  );
  refuse(
    `${operation}() of "1" messages`,
    () => call({ batchSize: "1" }),
    TypeError,
    /"batchSize"/,
  );
  refuse(
    `${operation}() sideways`,
    () => call({ direction: "sideways" }),
    TypeError,
    operation.endsWith("Matching") ? /"direction" in "options"/ : /"sideways" as "direction"/,
  );
}

// When it is called, that is, not when its first message is asked for.
const subscribe = (source: unknown, options?: unknown) => () =>
  Promise.resolve().then(() => client.subscribe(sql, any(source), any(options)));
for (const source of ["", undefined, null, 5, {}, [], "nul\0", "half-\ud800"]) {
  refuse(
    `subscribe() to ${JSON.stringify(source)}`,
    subscribe(source),
    TypeError,
    /"source"|"aggregate"/,
  );
}
for (const aggregate of ["", "ledger-1", "ledger:typed", "$all", 5]) {
  refuse(
    `subscribe() to the aggregate ${JSON.stringify(aggregate)}`,
    subscribe({ aggregate }),
    TypeError,
    /"aggregate"/,
  );
}
for (
  const [option, values] of Object.entries({
    startAt: ["start", "1", null, new Date(NaN), 1n, {}],
    types: [[], "Opened", [""], [5], Array(1), null],
    correlation: ["", "transfer-1", "$all", 5],
    consumerGroup: [null, 5, { member: "0", size: 2 }, { size: 2 }],
    batchSize: ["1", null, 1n],
    pollInterval: ["1", null],
    notify: [true],
    onRetry: [5, null],
    onCaughtUp: [5, null],
    signal: [5, null, new AbortController()],
  })
) {
  for (const [at, value] of values.entries()) {
    refuse(
      `subscribe() with ${option} that is no such thing (${at})`,
      subscribe("account", { [option]: value }),
      TypeError,
      new RegExp(`"${option}[."]`),
    );
  }
}
for (
  const [option, values] of Object.entries({
    startAt: [-1, 0.5, NaN, 2 ** 53],
    consumerGroup: [{ member: 2, size: 2 }, { member: 0, size: 0 }],
    batchSize: [0, -1, 1.5, Infinity],
    pollInterval: [0, -1, 1.5, Infinity, 2 ** 31],
  })
) {
  for (const [at, value] of values.entries()) {
    refuse(
      `subscribe() with ${option} out of range (${at})`,
      subscribe("account", { [option]: value }),
      RangeError,
      new RegExp(`"${option}[."]`),
    );
  }
}
const ledger = { name: "ledger", from: ["account"], partition: () => 0 };
const letters = { category: "account", consumerId: "letters", handle() {} };
const signalled: Record<string, (signal: AbortSignal) => unknown> = {
  subscribe: (signal) => client.subscribe(sql, "account", { signal }),
  consume: (signal) => client.consume(sql, letters, { signal }),
  drain: (signal) => client.drain(sql, letters, { signal }),
  replayParked: (signal) => client.replayParked(sql, letters, { signal }),
  waitFor: (signal) => client.waitFor(sql, letters, 1, { signal }),
  aggregate: (signal) => client.aggregate(sql, ledger, { signal }),
  fetchSql: (signal) => fetchSql("http://localhost/sql", { signal }),
  gateway: (signal) => gateway(sql, { authorize: () => true, signal }),
};
for (const [operation, call] of Object.entries(signalled)) {
  const values = {
    text: "x",
    null: null,
    controller: new AbortController(),
    target: new EventTarget(),
    "an object that has been aborted": { aborted: true },
    "an object that has not": { aborted: false },
  };
  for (const [what, value] of Object.entries(values)) {
    refuse(
      `${operation}() with a signal that is none: ${what}`,
      async () => await call(any(value)),
      TypeError,
      /^Cannot use .* as "signal": it must be an AbortSignal$/,
    );
  }
}
for (const types of ["Opened", [], [5]]) {
  const options = { types, messages: client.defineMessages({}) };
  const error = /as "types": it must be/;
  refuse(
    `subscribe() with a catalogue and the types ${JSON.stringify(types)}`,
    subscribe("account", options),
    TypeError,
    error,
  );
  refuse(
    `consume() with a catalogue and the types ${JSON.stringify(types)}`,
    () => client.consume(sql, any({ ...letters, ...options })),
    TypeError,
    error,
  );
}
refuse(
  "a start at an invalid date, and says so",
  subscribe("account", { startAt: new Date(NaN) }),
  TypeError,
  /^Cannot use Invalid Date as "startAt"/,
);
for (const source of ["account-1", "$all", { aggregate: "ledger" }]) {
  refuse(
    `subscribe() with a correlation to ${JSON.stringify(source)}`,
    subscribe(source, { correlation: "transfer" }),
    TypeError,
    /"transfer" as "correlation"/,
  );
  if (typeof source !== "string") continue;
  refuse(
    `subscribe() with a consumer group to ${source}`,
    subscribe(source, { consumerGroup: { member: 0, size: 2 } }),
    TypeError,
    /"consumerGroup"/,
  );
}

const group = (member: unknown, size: unknown) =>
  client.readCategory(sql, "account", { consumerGroup: any({ member, size }) });
refuse(
  "a member not below its group's size",
  () => group(2, 2),
  RangeError,
  /2 as "consumerGroup.member"/,
);
refuse(
  "a negative member",
  () => group(-1, 2),
  RangeError,
  /"consumerGroup.member"/,
);
refuse(
  "a member that is no number",
  () => group(undefined, 2),
  TypeError,
  /"consumerGroup.member"/,
);
refuse(
  "a group of none",
  () => group(0, 0),
  RangeError,
  /"consumerGroup.size"/,
);
refuse(
  "a group over 32767",
  () => group(0, 32768),
  RangeError,
  /32768 as "consumerGroup.size"/,
);
refuse(
  "a correlation that is a stream",
  () => client.readCategory(sql, "account", { correlation: "transfer-1" }),
  TypeError,
  /"transfer-1" as "correlation"/,
);
refuse(
  "an empty condition",
  () => client.readStream(sql, "account-1", { condition: "" }),
  TypeError,
  /"condition"/,
);
refuse(
  "an empty type to look for",
  () => client.readLastMessage(sql, "account-1", { type: "" }),
  TypeError,
  /"type"/,
);
refuse(
  "an id that is no UUID to read",
  () => client.readMessage(sql, "1"),
  TypeError,
  /"1" as "id"/,
);
refuse(
  "ids that are no list",
  () => client.readMessages(sql, any("1")),
  TypeError,
  /"ids"/,
);
refuse("an empty name", () => client.read(sql, ""), TypeError, /"name"/);
refuse(
  "a batch that is no list",
  () => client.writeBatch(sql, "a-1", any({})),
  TypeError,
  /"messages"/,
);
refuse(
  "an empty batch",
  () => client.writeBatch(sql, "a-1", []),
  RangeError,
  /\[\] as "messages"/,
);
refuse(
  "nothing to append",
  () => client.append(sql, "a-1", []),
  RangeError,
  /\[\] as "messages"/,
);
refuse(
  "no streams",
  () => client.writeStreams(sql, []),
  RangeError,
  /"streams"/,
);
refuse(
  "a handle that is no function",
  () => client.readAll(any({ query() {} })),
  TypeError,
  /Cannot use this handle: .*fromQuery/,
);

for (const [name, call] of Object.entries(operations)) {
  refuse(
    `no handle, in ${name}`,
    async () => await call(any(undefined)),
    TypeError,
    /^Cannot use this handle: .*fromQuery/,
  );
}

refuse(
  "a handle that is text, without saying it",
  () => client.readAll(any("postgres://me:secret@localhost")),
  TypeError,
  /^Cannot use this handle: (?!.*secret)/,
);
const answering = (answer: unknown) => client.fromQuery(() => any(Promise.resolve(answer)));
for (
  const answer of [undefined, null, 5, "rows", {}, [], [undefined], [{}], [[]], [{ json: null }], {
    rows: [],
  }, { rows: 5 }]
) {
  refuse(
    `a handle that answers ${JSON.stringify(answer)}`,
    () => client.readAll(answering(answer)),
    TypeError,
    /Cannot use what the handle answered: it must resolve to rows/,
  );
}
refuse(
  "a query that is no function",
  () => Promise.resolve().then(() => client.fromQuery(any({ query() {} }))),
  TypeError,
  /an object of Object as "query"/,
);
for (const [what, options] of Object.entries({ null: null, text: "x", number: 5 })) {
  refuse(
    `write() with options that are ${what}`,
    () => client.write(sql, "a-1", message, any(options)),
    TypeError,
    /"options"/,
  );
  refuse(
    `writeBatch() with options that are ${what}`,
    () => client.writeBatch(sql, "a-1", [message], any(options)),
    TypeError,
    /"options"/,
  );
  refuse(
    `append() with options that are ${what}`,
    () => client.append(sql, "a-1", message, any(options)),
    TypeError,
    /"options"/,
  );
  refuse(
    `synchronize() with options that are ${what}`,
    () => client.synchronize(sql, "a-1", [], any(options)),
    TypeError,
    /"options"/,
  );
  refuse(
    `readLastMessage() with options that are ${what}`,
    () => client.readLastMessage(sql, "a-1", any(options)),
    TypeError,
    /"options"/,
  );
  refuse(
    `read() with options that are ${what}`,
    () => client.read(sql, "$all", any(options)),
    TypeError,
    /"options"/,
  );
  refuse(
    `subscribe() with options that are ${what}`,
    subscribe("account", options),
    TypeError,
    /"options"/,
  );
  for (const [operation, call] of Object.entries(pages)) {
    refuse(
      `${operation}() with options that are ${what}`,
      () => call(options),
      TypeError,
      /"options"/,
    );
  }
}
refuse(
  "options that are a list",
  () => client.write(sql, "a-1", message, any([3])),
  TypeError,
  /"options"/,
);
refuse(
  "a consumer group that is null",
  () => client.readCategory(sql, "account", { consumerGroup: any(null) }),
  TypeError,
  /"consumerGroup"/,
);
refuse(
  "holes for messages",
  () => client.synchronize(sql, "a-1", Array(2)),
  TypeError,
  /"message"/,
);
refuse("holes for a batch", () => client.writeBatch(sql, "a-1", Array(2)), TypeError, /"message"/);
refuse("holes to append", () => client.append(sql, "a-1", Array(2)), TypeError, /"message"/);
refuse("holes for ids", () => client.readMessages(sql, Array(2)), TypeError, /"id"/);
refuse("$all as a category", () => client.readCategory(sql, "$all"), TypeError, /readAll/);
refuse(
  "$all as a category to write to",
  () => client.write(sql, "$all-1", message),
  TypeError,
  /"streamName"/,
);
refuse(
  "a pattern that is no text",
  () => client.iterateMatching(sql, any(5)).next(),
  TypeError,
  /"pattern"/,
);
refuse(
  "a Promise as expected version",
  () => client.write(sql, "a-1", message, { expectedVersion: any(Promise.resolve(1)) }),
  TypeError,
  /an object of Promise as "expectedVersion"/,
);

refuse(
  "a bigint as expected version, and says so",
  () => client.write(sql, "a-1", message, { expectedVersion: any(1n) }),
  TypeError,
  /^Cannot use 1n as "expectedVersion": it must be a number$/,
);

const consumers: [string, unknown, typeof TypeError | typeof RangeError, RegExp][] = [
  ["null", null, TypeError, /null as "consumer"/],
  ["text", "account", TypeError, /"account" as "consumer"/],
  [
    "no source",
    { category: undefined },
    TypeError,
    /^Cannot use this consumer: it has neither "category" nor "aggregate": give one of them$/,
  ],
  [
    "two sources",
    { aggregate: "ledger" },
    TypeError,
    /^Cannot use this consumer: it has both "category" and "aggregate": give/,
  ],
  ["a stream", { category: "account-1" }, TypeError, /"account-1" as "category"/],
  ["an empty category", { category: "" }, TypeError, /"" as "category"/],
  ["an aggregate with a type", { category: undefined, aggregate: "a:b" }, TypeError, /aggregate/],
  ["no name", { consumerId: undefined }, TypeError, /undefined as "consumerId"/],
  ["an empty name", { consumerId: "" }, TypeError, /"" as "consumerId"/],
  ["a compound name", { consumerId: "a+b" }, TypeError, /"a\+b" as "consumerId"/],
  ["a name with a NUL", { consumerId: "a\0" }, TypeError, /"consumerId"/],
  ["a group that is null", { consumerGroup: null }, TypeError, /null as "consumerGroup"/],
  ["a group without a size", { consumerGroup: { member: 0 } }, TypeError, /"consumerGroup.size"/],
  ["a group of none", { consumerGroup: { size: 0 } }, RangeError, /"consumerGroup.size"/],
  ["too large a group", { consumerGroup: { size: 32768 } }, RangeError, /"consumerGroup.size"/],
  [
    "a member beyond its group",
    { consumerGroup: { member: 2, size: 2 } },
    RangeError,
    /"consumerGroup.member"/,
  ],
  [
    "a group of $all",
    { category: "$all", consumerGroup: { size: 2 } },
    TypeError,
    /"consumerGroup": it must be left out for "\$all"/,
  ],
];
const running: typeof consumers = [
  [
    "no handler",
    { handle: undefined },
    TypeError,
    /it has neither "handle", "handlers" nor "handlePage": give one/,
  ],
  ["a handler that is none", { handle: {} }, TypeError, /an object of Object as "handle"/],
  [
    "a handler and handlers",
    { handlers: { Opened() {} } },
    TypeError,
    /it has both "handle" and "handlers": give one/,
  ],
  ["no handlers", { handle: undefined, handlers: {} }, TypeError, /"handlers"/],
  ["handlers in a Map", { handle: undefined, handlers: new Map() }, TypeError, /"handlers"/],
  ["handlers that are null", { handle: undefined, handlers: null }, TypeError, /"handle"/],
  ["a handler of none", { handle: undefined, handlers: { Opened: 5 } }, TypeError, /5 as "Opened"/],
  [
    "handlers and types",
    { handle: undefined, handlers: { Opened() {} }, types: ["Opened"] },
    TypeError,
    /"types": it must be left out/,
  ],
  ["no types", { types: [] }, TypeError, /\[\] as "types"/],
  ["a type that is none", { types: [""] }, TypeError, /"" as "types"/],
  ["a correlation that is a stream", { correlation: "a-1" }, TypeError, /"correlation"/],
  ["a correlation of $all", { category: "$all", correlation: "a" }, TypeError, /"correlation"/],
  [
    "a correlation of an aggregate's group",
    { category: undefined, aggregate: "a", correlation: "a", consumerGroup: { size: 2 } },
    TypeError,
    /"correlation"/,
  ],
  ["pages of none", { batchSize: 0 }, RangeError, /0 as "batchSize"/],
  ["a start that is none", { startAt: "now" }, TypeError, /"now" as "startAt"/],
  ["a start before the first", { startAt: -1 }, RangeError, /-1 as "startAt"/],
  ["a start at no time", { startAt: new Date(NaN) }, TypeError, /"startAt"/],
  ["a policy that is none", { onError: "retry" }, TypeError, /"retry" as "onError"/],
  ["a policy that is null", { onError: null }, TypeError, /null as "onError"/],
  ["no attempts", { onError: { retry: 0 } }, RangeError, /0 as "onError.retry"/],
  ["endless attempts", { onError: { retry: Infinity } }, RangeError, /"onError.retry"/],
  ["a delay before", { onError: { retry: 1, delay: -1 } }, RangeError, /-1 as "onError.delay"/],
  ["a policy without end", { onError: { retry: 1, then: "retry" } }, TypeError, /"onError.then"/],
  ["no concurrency", { concurrency: 0 }, RangeError, /0 as "concurrency"/],
  ["an interval of none", { positionUpdateInterval: 0 }, RangeError, /"positionUpdateInterval"/],
  ["a lease that is too short", { leaseDuration: 99 }, RangeError, /99 as "leaseDuration"/],
  ["a lease that is too long", { leaseDuration: 2 ** 31 }, RangeError, /"leaseDuration"/],
  ["an end before", { shutdownTimeout: -1 }, RangeError, /-1 as "shutdownTimeout"/],
  ["polling all the time", { pollInterval: 0 }, RangeError, /0 as "pollInterval"/],
  ["notifications of none", { notify: true }, TypeError, /"notify"/],
  ["transactions that are text", { transactional: "yes" }, TypeError, /"transactional"/],
  ["transactions without begin()", { transactional: true }, TypeError, /no begin\(\)/],
  [
    "transactions side by side",
    { transactional: true, concurrency: 2 },
    TypeError,
    /2 as "concurrency": it must be 1/,
  ],
];
const consumer = { category: "account", consumerId: "it", handle() {} };
for (const operation of ["consume", "drain", "replayParked"] as const) {
  for (const [what, options, Class, error] of [...consumers, ...running]) {
    const given = typeof options === "object" && options ? { ...consumer, ...options } : options;
    refuse(`${operation}() with ${what}`, () => client[operation](sql, any(given)), Class, error);
  }
  refuse(
    `${operation}() with options that are null`,
    () => client[operation](sql, consumer, any(null)),
    TypeError,
    /null as "options"/,
  );
}
for (const operation of ["drain", "replayParked"] as const) {
  refuse(
    `${operation}() of none`,
    () => client[operation](sql, consumer, { limit: 0 }),
    RangeError,
    /0 as "limit"/,
  );
}
for (const deadline of ["soon", new Date(NaN), NaN, null]) {
  refuse(
    `drain() until ${deadline}`,
    () => client.drain(sql, consumer, { deadline: any(deadline) }),
    TypeError,
    /"deadline"/,
  );
}
for (const [what, options, Class, error] of consumers) {
  const given = typeof options === "object" && options ? { ...consumer, ...options } : options;
  refuse(`waitFor() with ${what}`, () => client.waitFor(sql, any(given), 1), Class, error);
}
refuse(
  "waitFor() of no position",
  () => client.waitFor(sql, consumer, -1),
  RangeError,
  /-1 as "globalPosition"/,
);
refuse(
  "waitFor() for ever",
  () => client.waitFor(sql, consumer, 1, { timeout: Infinity }),
  RangeError,
  /Infinity as "timeout"/,
);
refuse(
  "waitFor() with options that are null",
  () => client.waitFor(sql, consumer, 1, any(null)),
  TypeError,
  /null as "options"/,
);

const cycle: Record<string, unknown> = {};
cycle.self = cycle;
const messages: [string, unknown, RegExp][] = [
  ["no message", undefined, /"message"/],
  ["a message that is text", "Written", /"message"/],
  ["no type", {}, /"type"/],
  ["an empty type", { type: "" }, /"" as "type"/],
  ["a type with a NUL", { type: "a\0" }, /"type"/],
  ["an id that is no UUID", { ...message, id: "17" }, /"17" as "id"/],
  ["an id that is null", { ...message, id: null }, /null as "id"/],
  ["a list of messages", [message], /an array as "message"/],
  ["metadata that is a list", { ...message, metadata: [] }, /"metadata"/],
  ["metadata that is text", { ...message, metadata: "x" }, /"metadata"/],
  [
    "metadata with a function",
    { ...message, metadata: { f() {} } },
    /"metadata.f" as JSON: it is function/,
  ],
  [
    "data that is undefined",
    { ...message, data: undefined },
    /"data" as JSON: it is undefined/,
  ],
  [
    "data with a cycle",
    { ...message, data: cycle },
    /"data" as JSON: .*circular/,
  ],
  [
    "data with a BigInt",
    { ...message, data: { n: 1n } },
    /"data.n" as JSON: it is bigint/,
  ],
  ["data with a NUL", { ...message, data: { text: "a\0b" } }, /\\u0000/],
  ["data with a NUL in a name", { ...message, data: { "\0": 1 } }, /\\u0000/],
  [
    "data with half a surrogate pair",
    { ...message, data: "\udc00" },
    /lone surrogate/,
  ],
  [
    "data that is a function",
    { ...message, data: () => {} },
    /"data" as JSON: it is function/,
  ],
  [
    "data with a function",
    { ...message, data: { f() {} } },
    /"data.f" as JSON: it is function/,
  ],
  [
    "data with a symbol",
    { ...message, data: [Symbol("s")] },
    /"data\[0\]" as JSON: it is symbol/,
  ],
  [
    "data with NaN",
    { ...message, data: { a: [{ n: NaN }] } },
    /"data.a\[0\].n" as JSON: it is NaN/,
  ],
  [
    "data with Infinity",
    { ...message, data: Infinity },
    /"data" as JSON: it is Infinity/,
  ],
  [
    "data with a hole",
    { ...message, data: Array(1) },
    /"data\[0\]" as JSON: it is undefined/,
  ],
  [
    "data with no date",
    { ...message, data: { at: new Date(NaN) } },
    /"data.at" as JSON: it is an invalid date/,
  ],
  [
    "data that is a Promise",
    { ...message, data: Promise.resolve(1) },
    /"data" as JSON: it is \[object Promise\]/,
  ],
  [
    "data with an Error",
    { ...message, data: { e: new Error() } },
    /"data.e" as JSON: it is \[object Error\]/,
  ],
  [
    "data with a RegExp",
    { ...message, data: [/x/] },
    /"data\[0\]" as JSON: it is \[object RegExp\]/,
  ],
  [
    "data with a NaN in a box",
    { ...message, data: new Number(NaN) },
    /"data" as JSON: it is \[object Number\]/,
  ],
  ["metadata that is a Date", { ...message, metadata: new Date() }, /"metadata"/],
  [
    "data with a Map",
    { ...message, data: { m: new Map() } },
    /"data.m" as JSON: it is \[object Map\]/,
  ],
  [
    "data with bytes",
    { ...message, data: new Uint8Array(2) },
    /"data" as JSON: it is \[object Uint8Array\]/,
  ],
];
for (const [what, input, error] of messages) {
  refuse(
    what,
    () => client.write(sql, "account-1", any(input)),
    TypeError,
    error,
  );
  refuse(
    `${what} in a batch`,
    () => client.writeBatch(sql, "account-1", [message, any(input)]),
    TypeError,
    error,
  );
  refuse(
    `${what} to append`,
    () => client.append(sql, "account-1", [message, any(input)]),
    TypeError,
    error,
  );
  if (Array.isArray(input)) continue;
  refuse(
    `${what} alone to append`,
    () => client.append(sql, "account-1", any(input)),
    TypeError,
    error,
  );
}

const aggregates: Record<string, (options: { name?: unknown }) => Promise<unknown>> = {
  aggregate: (change: object) =>
    client.aggregate(sql, { name: "ledger", from: ["a"], partition: () => 0, ...change }),
  readAggregate: ({ name = "ledger", ...options }: { name?: unknown }) =>
    client.readAggregate(sql, any(name), options),
  subscribe: async ({ name, ...options }: { name?: unknown }) =>
    await client.subscribe(sql, { aggregate: any(name) }, options).next(),
};
for (const [operation, call] of Object.entries(aggregates)) {
  for (const name of ["", "a-1", "a:b", ":a", "$all", "$a", null, 5, {}]) {
    refuse(
      `${operation}() of the aggregate ${JSON.stringify(name)}`,
      () => call({ name }),
      TypeError,
      /"(name|aggregate)"/,
    );
  }
  for (
    const [batchSize, Class] of [[0, RangeError], [1.5, RangeError], ["1", TypeError]] as const
  ) {
    refuse(
      `${operation}() of an aggregate with the batch size ${JSON.stringify(batchSize)}`,
      () => call(any({ name: "ledger", batchSize })),
      Class,
      /"batchSize"/,
    );
  }
}
const aggregateInputs: [object, typeof TypeError | typeof RangeError, RegExp][] = [
  [{ from: undefined }, TypeError, /undefined as "from"/],
  [{ from: "account" }, TypeError, /"account" as "from"/],
  [{ from: [] }, TypeError, /\[\] as "from"/],
  [{ from: [""] }, TypeError, /"" as "from"/],
  [{ from: ["a", 5] }, TypeError, /5 as "from"/],
  [{ from: ["a\0"] }, TypeError, /as "from"/],
  [{ from: ["a-\\"] }, TypeError, /"a-\\\\" as "pattern"/],
  [{ partition: undefined }, TypeError, /undefined as "partition"/],
  [{ partition: 1 }, TypeError, /1 as "partition"/],
  [{ partitions: 0 }, RangeError, /0 as "partitions"/],
  [{ partitions: 1.5 }, RangeError, /1.5 as "partitions"/],
  [{ partitions: 32768 }, RangeError, /32768 as "partitions"/],
  [{ partitions: "4" }, TypeError, /"4" as "partitions"/],
  [{ startAt: -1 }, RangeError, /-1 as "startAt"/],
  [{ startAt: "next" }, TypeError, /"next" as "startAt"/],
  [{ startAt: new Date(NaN) }, TypeError, /as "startAt"/],
  [{ pollInterval: 0 }, RangeError, /0 as "pollInterval"/],
  [{ notify: true }, TypeError, /true as "notify"/],
];
for (const [change, Class, error] of aggregateInputs) {
  refuse(
    `aggregate() with ${JSON.stringify(change)}`,
    () => aggregates["aggregate"]!(change),
    Class,
    error,
  );
}
refuse("aggregate() of null", () => client.aggregate(sql, any(null)), TypeError, /"aggregate"/);
refuse(
  "aggregate() with null for options",
  () => client.aggregate(sql, { name: "a", from: ["b"], partition: () => 0 }, any(null)),
  TypeError,
  /"options"/,
);
const readAggregateInputs: [object, typeof TypeError | typeof RangeError, RegExp][] = [
  [{ partition: -1 }, RangeError, /-1 as "partition"/],
  [{ partition: 1.5 }, RangeError, /1.5 as "partition"/],
  [{ partition: NaN }, RangeError, /NaN as "partition"/],
  [{ partition: "" }, TypeError, /"" as "id"/],
  [{ partition: null }, TypeError, /null as "partition"/],
  [{ position: -1 }, RangeError, /-1 as "position"/],
  [{ consumerGroup: { member: 2, size: 2 } }, RangeError, /"consumerGroup.member"/],
  [{ consumerGroup: { member: 0, size: 0 } }, RangeError, /"consumerGroup.size"/],
  [{ consumerGroup: 1 }, TypeError, /"consumerGroup"/],
  [{ partition: 0, consumerGroup: { member: 0, size: 1 } }, TypeError, /"consumerGroup"/],
];
for (const [options, Class, error] of readAggregateInputs) {
  refuse(
    `readAggregate() with ${JSON.stringify(options)}`,
    () => aggregates["readAggregate"]!(options),
    Class,
    error,
  );
}
for (const change of [{ category: "a" }, { aggregate: "a-1" }, { aggregate: "" }]) {
  refuse(
    `consume() of ${JSON.stringify(change)} for an aggregate`,
    () =>
      client.consume(sql, { aggregate: "ledger", consumerId: "a", handle: () => {}, ...change }),
    TypeError,
    /"(category|aggregate)"/,
  );
}
refuse(
  "subscribe() to an aggregate with a correlation",
  () =>
    Promise.resolve().then(() =>
      client.subscribe(sql, { aggregate: "ledger" }, { correlation: "a" }).next()
    ),
  TypeError,
  /"correlation"/,
);

describe("bad input is refused before anything is sent:", () => {
  test.each(cases)("%s", async (_, call, Class, message) => {
    // Some throw when they are called: what assert.rejects() takes has to be async.
    await assert.rejects(async () => await call(), (error) => {
      assert.equal((error as Error).constructor, Class);
      assert.match((error as Error).message, message);
      return true;
    });
  });
});
