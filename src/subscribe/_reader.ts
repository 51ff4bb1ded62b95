import { invalid } from "../lib/invalid.ts";
import { checkAggregateName } from "../names/_aggregate_name.ts";
import { checkCategory, checkConsumerGroup, checkInteger, checkName } from "../names/_check.ts";
import { category, isCategory } from "../names/stream_name.ts";
import { firstReferenceSince, firstSince } from "../read/_first_since.ts";
import type { Page } from "../read/_page.ts";
import { readAggregatePage } from "../read/_read_aggregate_page.ts";
import { readCategoryPage } from "../read/_read_category_page.ts";
import { readSettled } from "../read/_read_settled.ts";
import { readAll } from "../read/read_all.ts";
import { readCategory } from "../read/read_category.ts";
import { readStream } from "../read/read_stream.ts";
import type { AggregatedMessage } from "../read/reference.ts";
import type { StartAt } from "../read/start_at.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Message, Sql } from "../types.ts";
import type { Source, SourceOptions } from "./source.ts";

/** A source that can be read. */
export interface Reader {
  /** The category whose messages it has; null for all. */
  readonly category: string | null;
  read(position: number): Promise<Page>;
  /** The position of a message in what is read. */
  place(message: Message): number;
  /** Where to start. */
  start(at: StartAt): Promise<number>;
}

/** Checks a source and its options, and tells how to read it. */
export function readerOf(sql: Sql, source: Source, options: SourceOptions): Reader {
  const { types, correlation, consumerGroup, batchSize = 1000 } = options;
  checkInteger("batchSize", batchSize, 1);
  if (types !== undefined) checkTypes(types);
  if (correlation !== undefined) checkCategory("correlation", correlation);
  if (consumerGroup !== undefined) checkConsumerGroup(consumerGroup);
  const given = { types, correlation, consumerGroup };
  const page = { types, batchSize };

  if (typeof source === "object" && source !== null) {
    const name = source.aggregate;
    checkAggregateName("aggregate", name);
    refuse(given, ["correlation"], "an aggregate");
    return {
      category: name,
      read: (position) => readAggregatePage(sql, { name, position, consumerGroup, ...page }),
      place: (message) => (message as AggregatedMessage).reference.globalPosition,
      start: (at) => startOf(sql, at, null, name, firstReferenceSince),
    };
  }
  checkName("source", source);
  if (source === "$all") {
    refuse(given, ["correlation", "consumerGroup"], '"$all"');
    return {
      category: null,
      read: (position) =>
        readSettled(sql, { position, batchSize, pattern: null, filter: { types } }),
      place: (message) => message.globalPosition,
      start: (at) => startOf(sql, at, null, null),
    };
  }
  if (isCategory(source)) {
    return {
      category: source,
      read: (position) =>
        readCategoryPage(sql, { category: source, position, correlation, consumerGroup, ...page }),
      place: (message) => message.globalPosition,
      start: (at) => startOf(sql, at, null, source),
    };
  }
  refuse(given, ["correlation", "consumerGroup"], "a stream");
  return {
    category: category(source),
    read: async (position) => {
      const messages = await readStream(sql, source, { position, batchSize });
      return {
        messages: messages.filter(({ type }) => types === undefined || types.includes(type)),
        next: (messages.at(-1)?.position ?? position - 1) + 1,
        atEnd: messages.length < batchSize,
      };
    },
    place: (message) => message.position,
    start: (at) => startOf(sql, at, source, null),
  };
}

export function checkTypes(types: unknown): void {
  if (!Array.isArray(types) || types.length === 0) {
    throw invalid("types", types, "an array of at least one message type");
  }
  for (const type of types) checkName("types", type);
}

function refuse(options: SourceOptions, names: (keyof SourceOptions)[], what: string): void {
  for (const name of names) {
    if (options[name] !== undefined) throw invalid(name, options[name], `left out for ${what}`);
  }
}

async function startOf(
  sql: Sql,
  at: StartAt,
  streamName: string | null,
  category: string | null,
  since = firstSince,
): Promise<number> {
  if (typeof at === "number") return at;
  if (at === "beginning") return 0;
  // First: what is written while the time is looked for must not be left out.
  const end = await endOf(sql, streamName, category);
  return at === "end" ? end : await since(sql, { streamName, category }, at) ?? end;
}

async function endOf(
  sql: Sql,
  streamName: string | null,
  category: string | null,
): Promise<number> {
  if (streamName !== null) return await streamVersion(sql, streamName) + 1;
  const last = { direction: "backward", batchSize: 1 } as const;
  const [message] = category === null
    ? await readAll(sql, last)
    : await readCategory(sql, category, last);
  return (message?.globalPosition ?? 0) + 1;
}
