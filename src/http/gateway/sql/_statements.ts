import { messageStoreVersion } from "../../../read/message_store_version.ts";
import { categories } from "../../../read/names.ts";
import type { GatewayCall } from "../call.ts";
import { type Call, callTo, type SentStatement, statementOf } from "../_calls.ts";
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
  readPartitionOf,
  readScannedPageOf,
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
interface SampledStatement {
  /** A value for each parameter, no two the same: where they turn up tells which is which. */
  readonly sample: Readonly<Record<string, string>>;
  readonly callOf: CallOf;
}

const messageId = "00000000-0000-7000-8000-000000000000";
const inStream = { streamName: "category-id" };
const inCategory = { category: "category" };
const message = { id: messageId, type: "type", data: '"data"', metadata: '{"key":"value"}' };
const expectedVersion = "7";
const page = { position: "5", batchSize: "6" };
const group = { member: "2", size: "3" };
const share = { correlation: "correlation", ...group };
const ofTypes = { types: '["type"]' };
const condition = "condition";
const time = "2000-01-01T00:00:00.000Z";

/** Every statement that an operation sends. The SQL is not here: the operation is asked for it. */
const STATEMENTS: readonly SampledStatement[] = [
  { sample: { ...inStream, ...message, expectedVersion }, callOf: writeOf },
  { sample: { ...inStream, ...message, expectedVersion }, callOf: writeNewOf },
  { sample: { ...inStream, ...message, seen: "seen" }, callOf: writeUnlessBusyOf },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: writeStreamsOf,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],"mayBeKnown":[true],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: writeEachOf,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"time":["${time}"],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    callOf: importOf,
  },
  {
    sample: {
      ...inStream,
      columns: `{"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
      expectedVersion,
    },
    callOf: synchronizeOf,
  },
  { sample: { ...inStream, ...page, condition }, callOf: readStreamOf("forward") },
  { sample: { ...inStream, ...page, condition }, callOf: readStreamOf("backward") },
  { sample: { ...inStream, ...page }, callOf: readStreamOf("backward") },
  { sample: { ...inCategory, ...page, ...share, condition }, callOf: readCategoryOf("forward") },
  { sample: { ...inCategory, ...page, ...share, condition }, callOf: readCategoryOf("backward") },
  { sample: { ...inCategory, ...page, ...share }, callOf: readCategoryOf("backward") },
  { sample: page, callOf: readAllBackwardOf },
  {
    sample: { ...page, pattern: "%", from: "9", ...ofTypes, patterns: '["%"]' },
    callOf: readScannedPageOf,
  },
  { sample: { ...page, pattern: "%" }, callOf: lookAtWritersOf },
  { sample: { ...inCategory, ...page, ...share, ...ofTypes }, callOf: readCategoryPageOf },
  { sample: { name: "name", ...page, ...group, ...ofTypes }, callOf: readAggregateOf },
  { sample: { partition: "name-id", ...page }, callOf: readPartitionOf },
  { sample: { ...inStream, time }, callOf: firstSinceOf },
  { sample: { ...inCategory, time }, callOf: firstSinceOf },
  { sample: { time }, callOf: firstSinceOf },
  { sample: { ...inCategory, time }, callOf: firstReferenceSinceOf },
  { sample: { streamNames: '["category-id"]' }, callOf: readLastMessagesOf },
  { sample: { ...inStream, ...ofTypes }, callOf: readLastMessageOf },
  { sample: { ids: `["${messageId}"]` }, callOf: readMessagesOf },
  { sample: inStream, callOf: streamVersionOf },
  { sample: inCategory, callOf: streamNamesOf },
  { sample: inCategory, callOf: entityIdsOf },
  { sample: {}, callOf: () => ({ questions: [callTo("categories", {})], send: categories }) },
  {
    sample: {},
    callOf: () => ({ questions: [callTo("messageStoreVersion", {})], send: messageStoreVersion }),
  },
];

/** What a request may run: a statement that an operation sends, and what that does. */
export interface PermissibleStatement {
  readonly questions: readonly GatewayCall[];
  readonly statement: SentStatement;
}

/** Makes a call of a statement's parameters. */
type MakeCall = (parameters: readonly Parameter[], maxBatchSize: number) => Call<unknown>;

let learned: ReadonlyMap<string, MakeCall> | undefined;

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
): Promise<PermissibleStatement | undefined> {
  learned ??= new Map(await Promise.all(STATEMENTS.map(learn)));
  const call = learned.get(query)?.(parameters, maxBatchSize);
  if (call === undefined) return undefined;
  const statement = await statementOf(call);
  const isSame = statement.text === query &&
    statement.parameters.length === parameters.length &&
    statement.parameters.every((parameter, at) => parameter === parameters[at]);
  if (!isSame) {
    throw new Refusal(
      422,
      `${CANNOT}: ${call.questions[0]?.operation} never sends it with these parameters`,
    );
  }
  return { questions: call.questions, statement };
}

async function learn({ sample, callOf }: SampledStatement): Promise<[text: string, MakeCall]> {
  const { text, parameters } = await statementOf(callOf(sample, 1));
  const places = Object.entries(sample).map(([name, value]) => {
    return [name, parameters.indexOf(value)] as const;
  });
  const call: MakeCall = (parameters, maxBatchSize) =>
    callOf(Object.fromEntries(places.map(([name, at]) => [name, parameters[at]])), maxBatchSize);
  return [text, call];
}
