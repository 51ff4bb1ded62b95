import { messageStoreVersion } from "../../../read/message_store_version.ts";
import { categories } from "../../../read/names.ts";
import type { GatewayCall } from "../call.ts";
import { ask, type Call, type SentStatement, statementOf } from "../_calls.ts";
import { type CallOf, CANNOT, type Parameter } from "./_parameters.ts";
import { Refusal } from "../_problem.ts";
import {
  entityIdsOf,
  firstReferenceSinceOf,
  firstSinceOf,
  lookAtWritersOf,
  readAggregateOf,
  readAllBackwardOf,
  readCategoryOf,
  readCategoryPageOf,
  readLastMessageOf,
  readLastMessagesOf,
  readMessagesOf,
  readPageOf,
  readPartitionOf,
  readStreamOf,
  streamNamesOf,
  streamVersionOf,
} from "./_read_statements.ts";
import {
  importOf,
  synchronizeOf,
  writeEachOf,
  writeNewOf,
  writeOf,
  writeStreamsOf,
  writeUnlessBusyOf,
} from "./_write_statements.ts";

/** A statement, by a call that sends it. */
interface Statement {
  /** A value for each parameter, no two the same: where they turn up tells which is which. */
  readonly sample: Readonly<Record<string, string>>;
  readonly callOf: CallOf;
}

const id = "00000000-0000-7000-8000-000000000000";
const stream = { streamName: "category-id" };
const category = { category: "category" };
const message = { id, type: "type", data: '"data"', metadata: '{"key":"value"}' };
const expectedVersion = "7";
const page = { position: "5", batchSize: "6" };
const group = { member: "2", size: "3" };
const share = { correlation: "correlation", ...group };
const types = { types: '["type"]' };
const condition = "condition";
const time = "2000-01-01T00:00:00.000Z";

/** Every statement that an operation sends. The SQL is not here: the operation is asked for it. */
const STATEMENTS: readonly Statement[] = [
  { sample: { ...stream, ...message, expectedVersion }, callOf: writeOf },
  { sample: { ...stream, ...message, expectedVersion }, callOf: writeNewOf },
  { sample: { ...stream, ...message, seen: "seen" }, callOf: writeUnlessBusyOf },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],` +
        `"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: writeStreamsOf,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],"mayBeKnown":[true],` +
        `"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: writeEachOf,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"time":["${time}"],` +
        `"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: importOf,
  },
  {
    sample: {
      ...stream,
      columns: `{"id":["${id}"],"type":["type"],"data":[1],"metadata":[{}]}`,
      expectedVersion,
    },
    callOf: synchronizeOf,
  },
  { sample: { ...stream, ...page, condition }, callOf: readStreamOf("forward") },
  { sample: { ...stream, ...page, condition }, callOf: readStreamOf("backward") },
  { sample: { ...stream, ...page }, callOf: readStreamOf("backward") },
  { sample: { ...category, ...page, ...share, condition }, callOf: readCategoryOf("forward") },
  { sample: { ...category, ...page, ...share, condition }, callOf: readCategoryOf("backward") },
  { sample: { ...category, ...page, ...share }, callOf: readCategoryOf("backward") },
  { sample: page, callOf: readAllBackwardOf },
  {
    sample: { ...page, pattern: "%", from: "9", ...types, patterns: '["%"]' },
    callOf: readPageOf,
  },
  { sample: { ...page, pattern: "%" }, callOf: lookAtWritersOf },
  { sample: { ...category, ...page, ...share, ...types }, callOf: readCategoryPageOf },
  { sample: { name: "name", ...page, ...group, ...types }, callOf: readAggregateOf },
  { sample: { partition: "name-id", ...page }, callOf: readPartitionOf },
  { sample: { ...stream, time }, callOf: firstSinceOf },
  { sample: { ...category, time }, callOf: firstSinceOf },
  { sample: { time }, callOf: firstSinceOf },
  { sample: { ...category, time }, callOf: firstReferenceSinceOf },
  { sample: { streamNames: '["category-id"]' }, callOf: readLastMessagesOf },
  { sample: { ...stream, ...types }, callOf: readLastMessageOf },
  { sample: { ids: `["${id}"]` }, callOf: readMessagesOf },
  { sample: stream, callOf: streamVersionOf },
  { sample: category, callOf: streamNamesOf },
  { sample: category, callOf: entityIdsOf },
  { sample: {}, callOf: () => ({ asks: [ask("categories", {})], send: categories }) },
  {
    sample: {},
    callOf: () => ({ asks: [ask("messageStoreVersion", {})], send: messageStoreVersion }),
  },
];

/** What a request may run: a statement that an operation sends, and what that does. */
export interface Permissible {
  readonly asks: readonly GatewayCall[];
  readonly statement: SentStatement;
}

/** Makes a call of a statement's parameters. */
type Known = (parameters: readonly Parameter[], maxBatchSize: number) => Call<unknown>;

let known: ReadonlyMap<string, Known> | undefined;

/**
 * Finds the call that sends a statement with these parameters; undefined where no operation has it.
 *
 * The call's own statement is what runs. Where an argument is several parameters, or text inside of
 * one, that could differ from what was sent, and then nothing runs.
 */
export async function recognize(
  query: string,
  parameters: readonly Parameter[],
  maxBatchSize: number,
): Promise<Permissible | undefined> {
  known ??= new Map(await Promise.all(STATEMENTS.map(learn)));
  const call = known.get(query)?.(parameters, maxBatchSize);
  if (call === undefined) return undefined;
  const statement = await statementOf(call);
  const isSame = statement.text === query &&
    statement.parameters.length === parameters.length &&
    statement.parameters.every((parameter, at) => parameter === parameters[at]);
  if (!isSame) {
    throw new Refusal(
      422,
      `${CANNOT}: ${call.asks[0]?.operation} never sends it with these parameters`,
    );
  }
  return { asks: call.asks, statement };
}

async function learn({ sample, callOf }: Statement): Promise<[text: string, Known]> {
  const { text, parameters } = await statementOf(callOf(sample, 1));
  const places = Object.entries(sample).map(([name, value]) => {
    return [name, parameters.indexOf(value)] as const;
  });
  const call: Known = (parameters, maxBatchSize) =>
    callOf(Object.fromEntries(places.map(([name, at]) => [name, parameters[at]])), maxBatchSize);
  return [text, call];
}
