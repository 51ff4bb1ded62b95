import { queryOutcome } from "../decide/_query_outcome.ts";
import { textOf } from "../handle/_statement_text.ts";
import { readLastOfTypes } from "../read/_read_last_of_types.ts";
import { readCategory } from "../read/read_category.ts";
import { readMessages } from "../read/read_messages.ts";
import { readStream } from "../read/read_stream.ts";
import { streamVersion } from "../read/stream_version.ts";
import type { Sql } from "../types.ts";
import { appendEncoded } from "../write/_append_to_streams.ts";
import { writeNew } from "../write/_write_new.ts";
import { writeOnce } from "../write/_write_once.ts";
import { writeUnlessBusy } from "../write/_write_unless_busy.ts";
import {
  type Answer,
  appendInMemory,
  categoryInMemory,
  lastInMemory,
  messagesInMemory,
  type NamedParameters,
  outcomeInMemory,
  streamInMemory,
  versionInMemory,
  writeInMemory,
} from "./_memory_answers.ts";

/** A statement that can be answered without a database. */
interface KnownStatement {
  /** The parameters of a sample. */
  readonly sample: readonly (string | null)[];
  /** The names of the sample's parameters; undefined for one that is the same in each call. */
  readonly names: readonly (string | undefined)[];
  readonly answer: Answer;
}

/** The parameters of a statement by name, and how to answer it. */
export interface Recognized {
  readonly parameters: NamedParameters;
  readonly answer: Answer;
}

let learned: Promise<ReadonlyMap<string, KnownStatement>> | undefined;

/** Finds out what a statement asks; undefined if only a database can answer it. */
export async function recognizeStatement(
  strings: TemplateStringsArray,
  parameters: readonly (string | null)[],
): Promise<Recognized | undefined> {
  learned ??= learnStatements();
  const known = (await learned).get(textOf(strings));
  if (known === undefined) return undefined;
  const { sample, names, answer } = known;
  const byName: Record<string, string | null> = {};
  for (const [at, name] of names.entries()) {
    if (name !== undefined) byName[name] = parameters[at]!;
    else if (parameters[at] !== sample[at]) return undefined;
  }
  return { parameters: byName, answer };
}

/** The SQL comes from the operations themselves: each is called once, to see what it sends. */
async function learnStatements(): Promise<ReadonlyMap<string, KnownStatement>> {
  // Each text tells which parameter it is, so no two are the same.
  const id = "00000000-0000-7000-8000-000000000000";
  const streamName = "category-id";
  const message = { id, type: "type", data: '"data"', metadata: '{"key":"value"}' };
  const inStream = { streamName, ...message, expectedVersion: "7" };
  const page = { streamName, position: "5", batchSize: "6" };
  const readPage = { position: 5, batchSize: 6 };
  const streams = [{ streamName, messages: [message], expectedVersion: "7" }];
  const columns = '{"streamName":["category-id"],"expectedVersion":["7"],' +
    `"id":["${id}"],"type":["type"],"data":["data"],"metadata":[{"key":"value"}]}`;
  return new Map(
    await Promise.all([
      learn(inStream, (sql) => writeNew(sql, streamName, message, "7"), writeInMemory),
      learn(inStream, (sql) => writeOnce(sql, streamName, message, "7"), writeInMemory),
      learn({ columns }, (sql) => appendEncoded(sql, streams), appendInMemory),
      learn(page, (sql) => readStream(sql, streamName, readPage), streamInMemory("forward")),
      learn(
        page,
        (sql) => readStream(sql, streamName, { ...readPage, direction: "backward" }),
        streamInMemory("backward"),
      ),
      learn(
        { category: "category", position: "5", batchSize: "6" },
        (sql) => readCategory(sql, "category", readPage),
        categoryInMemory,
      ),
      learn(
        { streamName, types: '["type"]' },
        (sql) => readLastOfTypes(sql, streamName, ["type"]),
        lastInMemory,
      ),
      learn({ ids: `["${id}"]` }, (sql) => readMessages(sql, [id]), messagesInMemory),
      learn({ streamName }, (sql) => streamVersion(sql, streamName), versionInMemory),
      learn(
        { idPrefix: id, streamNames: `["${streamName}"]` },
        (sql) => queryOutcome(sql, id, [streamName]),
        outcomeInMemory,
      ),
      // No snapshot is written where nothing else is, as where the role may only read.
      learn(
        { streamName, ...message, seen: "seen" },
        (sql) => writeUnlessBusy(sql, streamName, message, "seen"),
        () => null,
      ),
    ]),
  );
}

async function learn(
  named: Readonly<Record<string, string>>,
  send: (sql: Sql) => Promise<unknown>,
  answer: Answer,
): Promise<[text: string, KnownStatement]> {
  const [strings, sample] = await new Promise<[TemplateStringsArray, (string | null)[]]>(
    (resolve, reject) => {
      const capture: Sql = (strings, ...parameters) => {
        resolve([strings, parameters]);
        return new Promise(() => {});
      };
      send(capture).catch(reject);
    },
  );
  const nameOf = new Map(Object.entries(named).map(([name, it]) => [it as string | null, name]));
  return [textOf(strings), { sample, names: sample.map((it) => nameOf.get(it)), answer }];
}
