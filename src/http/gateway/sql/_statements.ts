import { readPartitionMark } from "../../../handle/_partition_mark.ts";
import { messageStoreVersion } from "../../../read/message_store_version.ts";
import { categories } from "../../../read/names.ts";
import { type Call, callTo, captureStatement, type SentStatement } from "../_calls.ts";
import { CANNOT_RUN, type MakeCall, type Parameter } from "./_parameters.ts";
import { Refusal } from "../_problem.ts";
import type { GatewayCall } from "../call.ts";
import {
  entityIdsCall,
  firstReferenceSinceCall,
  firstSinceCall,
  lookAtWritersCall,
  outcomeCall,
  readAggregateCall,
  readAllBackwardCall,
  readCategoryCall,
  readCategoryPageCall,
  readHeadsCall,
  readLastMessageCall,
  readLastMessagesCall,
  readMessagesCall,
  readPartitionCall,
  readScannedPageCall,
  readStreamCall,
  readStreamPageCall,
  streamNamesCall,
  streamVersionCall,
} from "./_read_statements.ts";
import {
  importCall,
  importPlainCall,
  synchronizeCall,
  writeCall,
  writeEachCall,
  writeEachNewCall,
  writeNewCall,
  writeRecordedCall,
  writeReferencesCall,
  writeStreamsCall,
  writeUnlessBusyCall,
} from "./_write_statements.ts";

/** A statement, described by a call that sends it. */
interface SampledStatement {
  /**
   * A value for each parameter, by name. No two are the same, so that a value's place in the statement
   * tells which parameter it is.
   */
  readonly sample: Readonly<Record<string, string>>;
  readonly makeCall: MakeCall;
}

// The values of the samples.
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
const mark = '[9,"mark","store"]';
const versionId = messageId.replace(/0$/, "2");
const store = "0123456789abcdef0123456789abcdef";
const time = "2000-01-01T00:00:00.000Z";

/** Every statement that an operation sends. The SQL itself comes from the operation. */
const STATEMENTS: readonly SampledStatement[] = [
  { sample: { ...inStream, ...message, expectedVersion }, makeCall: writeCall },
  { sample: { ...inStream, ...message, expectedVersion }, makeCall: writeNewCall },
  { sample: { ...inStream, ...message, seen: "seen" }, makeCall: writeUnlessBusyCall },
  {
    sample: { ...inStream, ...message, expectedVersion, store, versionId },
    makeCall: writeRecordedCall,
  },
  {
    sample: {
      ...inStream,
      id: messageId.replace(/0$/, "1"),
      data: '"position"',
      expectedVersion,
      store,
      versionId,
      columns: `{"streamName":["category-id"],` +
        `"id":["${messageId}"],"type":["type"],"data":[null],"metadata":[{}]}`,
    },
    makeCall: writeReferencesCall,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    makeCall: writeStreamsCall,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"expectedVersion":["7"],"mayBeKnown":[true],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    makeCall: writeEachCall,
  },
  {
    sample: {
      columns: `{"category":["category"],"streamName":["category-id"],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    makeCall: writeEachNewCall,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"time":["${time}"],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    makeCall: importCall,
  },
  {
    sample: {
      columns: `{"streamName":["category-id"],"time":["${time}"],` +
        `"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
    },
    makeCall: importPlainCall,
  },
  {
    sample: {
      ...inStream,
      columns: `{"id":["${messageId}"],"type":["type"],"data":[1],"metadata":[{}]}`,
      expectedVersion,
    },
    makeCall: synchronizeCall,
  },
  { sample: { ...inStream, ...page, condition }, makeCall: readStreamCall("forward") },
  { sample: { ...inStream, ...page, condition }, makeCall: readStreamCall("backward") },
  { sample: { ...inStream, ...page }, makeCall: readStreamCall("forward") },
  { sample: { ...inStream, ...page }, makeCall: readStreamCall("backward") },
  {
    sample: { ...inCategory, ...page, ...share, condition },
    makeCall: readCategoryCall("forward"),
  },
  {
    sample: { ...inCategory, ...page, ...share, condition },
    makeCall: readCategoryCall("backward"),
  },
  { sample: { ...inCategory, ...page, ...share }, makeCall: readCategoryCall("backward") },
  { sample: { ...inCategory, ...page, ...group }, makeCall: readCategoryCall("forward") },
  { sample: page, makeCall: readAllBackwardCall },
  {
    sample: {
      ...page,
      pattern: "%",
      from: "9",
      ...ofTypes,
      patterns: '["%"]',
      mark,
      known: '[8,"known","store"]',
    },
    makeCall: readScannedPageCall,
  },
  { sample: { ...page, pattern: "%" }, makeCall: lookAtWritersCall },
  { sample: { sources: '[["stream","category-id"]]', state: "00" }, makeCall: readHeadsCall },
  { sample: { ...inStream, ...page, mark }, makeCall: readStreamPageCall },
  {
    sample: { ...inCategory, ...page, ...share, ...ofTypes, mark },
    makeCall: readCategoryPageCall,
  },
  {
    sample: { ...inCategory, ...page, ...group, ...ofTypes, mark },
    makeCall: readCategoryPageCall,
  },
  { sample: { name: "name", ...page, ...group, ...ofTypes, mark }, makeCall: readAggregateCall },
  { sample: { partition: "name-id", ...page }, makeCall: readPartitionCall },
  { sample: { ...inStream, time }, makeCall: firstSinceCall },
  { sample: { ...inCategory, time }, makeCall: firstSinceCall },
  { sample: { time }, makeCall: firstSinceCall },
  { sample: { ...inCategory, time }, makeCall: firstReferenceSinceCall },
  { sample: { streamNames: '["category-id"]' }, makeCall: readLastMessagesCall },
  { sample: { ...inStream, ...ofTypes }, makeCall: readLastMessageCall },
  { sample: { ids: `["${messageId}"]` }, makeCall: readMessagesCall },
  { sample: inStream, makeCall: streamVersionCall },
  {
    sample: { idPrefix: messageId.slice(0, -4), streamNames: '["category-id"]' },
    makeCall: outcomeCall,
  },
  { sample: inCategory, makeCall: streamNamesCall },
  { sample: inCategory, makeCall: entityIdsCall },
  {
    sample: {},
    makeCall: () => ({
      toAuthorize: [callTo("categories", {})],
      send: categories,
      asksEach: true,
    }),
  },
  {
    sample: {},
    makeCall: () => ({
      toAuthorize: [callTo("messageStoreVersion", {})],
      send: messageStoreVersion,
      asksEach: true,
    }),
  },
  {
    sample: {},
    makeCall: () => ({
      toAuthorize: [callTo("messageStoreVersion", {})],
      send: readPartitionMark,
    }),
  },
];

/** A statement that an operation sends, and the call that sends it. */
export interface RecognizedStatement {
  readonly call: Call<unknown>;
  readonly statement: SentStatement;
}

/** Makes the call that sends a statement with these parameters, in the statement's own order. */
type MakeCallInOrder = (parameters: readonly Parameter[], maxBatchSize: number) => Call<unknown>;

/** What is known of a statement. */
export interface LearnedStatement {
  readonly operation: GatewayCall["operation"] | undefined;
  /** Where each parameter has its first place, by name. */
  readonly places: Readonly<Record<string, number>>;
  readonly makeCall: MakeCallInOrder;
}

let knownStatements: Promise<ReadonlyMap<string, LearnedStatement>> | undefined;

/** The statements that operations send, by text. */
export function statementsByText(): Promise<ReadonlyMap<string, LearnedStatement>> {
  return knownStatements ??= Promise.all(STATEMENTS.map(learnStatement))
    .then((statements) => new Map(statements));
}

/**
 * Finds the call that sends a statement with these parameters; undefined if no operation has the
 * statement.
 *
 * The gateway runs the statement that this call sends, not the one that the request sent. The two can
 * differ if one argument of the operation is several parameters, or text inside of one. The request is
 * refused then.
 */
export async function recognize(
  query: string,
  parameters: readonly Parameter[],
  maxBatchSize: number,
): Promise<RecognizedStatement | undefined> {
  const known = await statementsByText();
  const call = known.get(query)?.makeCall(parameters, maxBatchSize);
  if (call === undefined) return undefined;
  const statement = await captureStatement(call);
  const isSame = statement.text === query &&
    statement.parameters.length === parameters.length &&
    statement.parameters.every((parameter, at) => parameter === parameters[at]);
  if (!isSame) {
    throw new Refusal(
      422,
      `${CANNOT_RUN}: ${call.toAuthorize[0]?.operation} never sends it with these parameters`,
    );
  }
  return { call, statement };
}

/** Sends a sample, to see the text of the statement and which of its parameters has which name. */
async function learnStatement(
  { sample, makeCall }: SampledStatement,
): Promise<[text: string, known: LearnedStatement]> {
  const call = makeCall(sample, 1);
  const { text, parameters } = await captureStatement(call);
  const places = Object.entries(sample).map(([name, value]) => {
    return [name, parameters.indexOf(value)] as const;
  });
  const makeCallInOrder: MakeCallInOrder = (parameters, maxBatchSize) => {
    const named = Object.fromEntries(places.map(([name, at]) => [name, parameters[at]]));
    return makeCall(named, maxBatchSize);
  };
  return [text, {
    operation: call.toAuthorize[0]?.operation,
    places: Object.fromEntries(places),
    makeCall: makeCallInOrder,
  }];
}
