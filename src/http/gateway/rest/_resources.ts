import { storeFor } from "../../../handle/_store_for.ts";
import { invalid } from "../../../lib/invalid.ts";
import { entityIds } from "../../../read/names.ts";
import { type Mark, markBefore } from "../../../read/_mark.ts";
import type { Page } from "../../../read/_page.ts";
import { readCategoryPage } from "../../../read/_read_category_page.ts";
import { readSettled } from "../../../read/_read_settled.ts";
import { readStreamPage } from "../../../read/_read_stream_page.ts";
import { readAll } from "../../../read/read_all.ts";
import { readCategory } from "../../../read/read_category.ts";
import { readLastMessage } from "../../../read/read_last_message.ts";
import { readMessages } from "../../../read/read_messages.ts";
import { readStream } from "../../../read/read_stream.ts";
import { streamVersion } from "../../../read/stream_version.ts";
import type { Message, Sql } from "../../../types.ts";
import { checkAllowed } from "../_authorize.ts";
import { appendCall, writeStreamsCallOf } from "./_append.ts";
import { type Call, callTo, captureStatement } from "../_calls.ts";
import { ALL, type Watched } from "../../../subscribe/_heads.ts";
import type { Gateway } from "../_gateway.ts";
import { isAnswerTooLarge } from "../_limit_answers.ts";
import {
  LAST_EVENT_ID_HEADER,
  type PageQuery,
  parseHeader,
  parseQuery,
  QUERIES,
} from "./_input.ts";
import { urlOf } from "../_url_of.ts";
import { entityTagOf, refusePreconditions } from "./_preconditions.ts";
import { answerLive } from "./_live.ts";
import { Refusal } from "../_problem.ts";

/** Answers a request. `parameter` is the value that the request has for the part of the path in braces. */
export type Endpoint = (request: Request, gateway: Gateway, parameter: string) => Promise<Response>;

/** `GET /streams/{streamName}` */
export const answerStream: Endpoint = async (request, gateway, streamName) => {
  parseQuery(QUERIES.none, request);
  const version = await makeCall(request, gateway, {
    toAuthorize: [callTo("streamVersion", { streamName })],
    send: (sql) => streamVersion(sql, streamName),
  });
  return Response.json({ streamName, version }, { headers: { etag: entityTagOf(version) } });
};

/** `POST /streams/{streamName}/messages` */
export const answerAppend: Endpoint = async (request, gateway, streamName) => {
  parseQuery(QUERIES.none, request);
  const call = await appendCall(request, gateway, streamName);
  const position = await makeCall(request, gateway, call);
  return Response.json({ position }, { status: 201, headers: { etag: entityTagOf(position) } });
};

/** `POST /streams` */
export const answerWriteStreams: Endpoint = async (request, gateway) => {
  parseQuery(QUERIES.none, request);
  refusePreconditions(request);
  const call = await writeStreamsCallOf(request, gateway);
  return Response.json({ positions: await makeCall(request, gateway, call) }, { status: 201 });
};

/** `GET /streams/{streamName}/messages` */
export const answerStreamMessages: Endpoint = (request, gateway, streamName) => {
  const query = parseQuery(QUERIES.page, request);
  return answerMessages(request, gateway, query, (page) => ({
    toAuthorize: [callTo("readStream", { streamName, ...page })],
    send: (sql) => readStream(sql, streamName, page),
  }), {
    readPage: (sql, page) => readStreamPage(sql, { streamName, ...page }),
    place: (message) => message.position,
    markAt: () => null,
    watched: ["stream", streamName],
  });
};

/** `GET /streams/{streamName}/messages/last` */
export const answerLastMessage: Endpoint = async (request, gateway, streamName) => {
  const { type } = parseQuery(QUERIES.lastMessage, request);
  const message = await makeCall(request, gateway, {
    toAuthorize: [callTo("readLastMessage", { streamName, type })],
    send: (sql) => readLastMessage(sql, streamName, { type }),
  });
  if (message === null) throw new Refusal(404, "There is no such message in this stream");
  return Response.json(message);
};

/** `GET /categories/{category}/messages` */
export const answerCategoryMessages: Endpoint = (request, gateway, category) => {
  const { member, size, ...query } = parseQuery(QUERIES.categoryPage, request);
  if ((member === undefined) !== (size === undefined)) {
    throw new Refusal(422, 'Cannot read as one of a consumer group: it takes "member" and "size"');
  }
  if (size !== undefined && member! >= size) {
    throw new Refusal(422, invalid("member", member, `an integer from 0 to ${size - 1}`).message);
  }
  const consumerGroup = size === undefined ? undefined : { member: member!, size };
  return answerMessages(request, gateway, { ...query, consumerGroup }, (page) => ({
    toAuthorize: [callTo("readCategory", { category, ...page })],
    send: (sql) => readCategory(sql, category, page),
  }), {
    readPage: (sql, page) => readCategoryPage(sql, { category, ...page }),
    place: (message) => message.globalPosition,
    markAt: markBefore,
    watched: ["category", category],
  });
};

/** `GET /categories/{category}/ids` */
export const answerEntityIds: Endpoint = async (request, gateway, category) => {
  parseQuery(QUERIES.none, request);
  const ids = await makeCall(request, gateway, {
    toAuthorize: [callTo("entityIds", { category })],
    send: (sql) => entityIds(sql, category),
  });
  return Response.json({ ids });
};

/** `GET /messages` */
export const answerAllMessages: Endpoint = (request, gateway) => {
  const query = parseQuery(QUERIES.page, request);
  return answerMessages(request, gateway, query, (page) => ({
    toAuthorize: [callTo("readAll", page)],
    send: (sql) => readAll(sql, page),
  }), {
    readPage: (sql, page) => readSettled(sql, { ...page, pattern: null }),
    place: (message) => message.globalPosition,
    markAt: markBefore,
    watched: ALL,
  });
};

/** `GET /messages/{id}` */
export const answerMessage: Endpoint = async (request, gateway, id) => {
  parseQuery(QUERIES.none, request);
  const [message] = await makeCall(request, gateway, {
    toAuthorize: [callTo("readMessages", { ids: [id] })],
    send: (sql) => readMessages(sql, [id]),
  });
  if (message === undefined) throw new Refusal(404, "There is no message with this id");
  return Response.json(message);
};

/** Makes a call, if its arguments are right and it is allowed. Otherwise nothing is sent. */
async function makeCall<Answer>(
  request: Request,
  gateway: Gateway,
  call: Call<Answer>,
): Promise<Answer> {
  await checkCall(request, gateway, call);
  return await call.send(gateway.sql);
}

async function checkCall(request: Request, gateway: Gateway, call: Call<unknown>): Promise<void> {
  // The operation checks its arguments before it sends a statement.
  await captureStatement(call);
  await checkAllowed(request, gateway, call.toAuthorize);
}

/** A page with both of its numbers. */
interface Paging {
  readonly position: number;
  readonly batchSize: number;
  readonly mark: Mark | null;
}

/** How a live read reads a resource. */
interface LivePages<Query> {
  readonly readPage: (sql: Sql, page: Query & Paging) => Promise<Page>;
  /** The position of a message that a page begins at. */
  readonly place: (message: Message) => number;
  /** The mark of a position to begin at; null if it is no global position. */
  readonly markAt: (position: number) => Mark | null;
  /** The source as it is watched. */
  readonly watched: Watched;
}

/** Answers a page of messages, or a live read if the request accepts events. */
async function answerMessages<Query extends PageQuery>(
  request: Request,
  gateway: Gateway,
  query: Query,
  callOf: (page: Query) => Call<Message[]>,
  { readPage, place, markAt, watched }: LivePages<Query>,
): Promise<Response> {
  const page = { batchSize: Math.min(100, gateway.maxBatchSize), ...query };
  if (!/\btext\/event-stream\b/i.test(request.headers.get("accept") ?? "")) {
    return Response.json({ messages: await makeCall(request, gateway, callOf(page)) });
  }
  if (page.direction === "backward") {
    throw new Refusal(422, "Cannot follow messages backward: leave the direction out");
  }
  const last = lastEventIdOf(request);
  const position = last === undefined ? page.position ?? 0 : last + 1;
  await checkCall(request, gateway, callOf({ ...page, position }));
  const [kind, name] = watched;
  const sql = storeFor(gateway.sql, kind === "all" ? "$all" : name);
  return answerLive({
    key: JSON.stringify([urlOf(request).pathname, { ...page, position: undefined }]),
    position,
    mark: last === undefined ? null : markAt(position),
    read: (position, mark) => readSmaller((it) => readPage(sql, it), { ...page, position, mark }),
    place,
    sql,
    watched,
    followers: gateway.followers,
    maxFollowers: gateway.maxFollowers,
    onError: (error) => gateway.onError(error, request),
    // The request's own signal is not needed: the runtime cancels the answer when the client has gone.
    signal: gateway.signal,
  });
}

/** Reads a page; a smaller one if its messages are too large for one answer. */
async function readSmaller<Query extends Paging>(
  readPage: (page: Query) => Promise<Page>,
  page: Query,
): Promise<Page> {
  try {
    return await readPage(page);
  } catch (error) {
    const batchSize = Math.floor(page.batchSize / 2);
    if (batchSize === 0 || !isAnswerTooLarge(error)) throw error;
    return await readSmaller(readPage, { ...page, batchSize });
  }
}

function lastEventIdOf(request: Request): number | undefined {
  // The header is empty if the client has not seen an event yet.
  if (request.headers.get("last-event-id") === "") return undefined;
  return parseHeader(LAST_EVENT_ID_HEADER, request);
}
