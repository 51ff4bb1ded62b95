import { readAll } from "../../../read/read_all.ts";
import { readCategory } from "../../../read/read_category.ts";
import { readLastMessage } from "../../../read/read_last_message.ts";
import { readMessages } from "../../../read/read_messages.ts";
import { readStream } from "../../../read/read_stream.ts";
import { streamVersion } from "../../../read/stream_version.ts";
import type { Message } from "../../../types.ts";
import { callOfAppend } from "./_append.ts";
import { type Call, callTo, statementOf } from "../_calls.ts";
import type { Gateway } from "../_gateway.ts";
import {
  LAST_EVENT_ID_HEADER,
  type PageQuery,
  parseHeader,
  parseQuery,
  QUERIES,
} from "./_input.ts";
import { answerLive } from "./_live.ts";
import { Refusal } from "../_problem.ts";

/** Answers a request for a resource; `name` is what its path has in braces. */
export type Endpoint = (request: Request, gateway: Gateway, name: string) => Promise<Response>;

/** `GET /streams/{streamName}` */
export const answerStream: Endpoint = async (request, gateway, streamName) => {
  parseQuery(QUERIES.none, request);
  const version = await makeCall(request, gateway, {
    questions: [callTo("streamVersion", { streamName })],
    send: (sql) => streamVersion(sql, streamName),
  });
  return Response.json({ streamName, version });
};

/** `POST /streams/{streamName}/messages` */
export const answerAppend: Endpoint = async (request, gateway, streamName) => {
  parseQuery(QUERIES.none, request);
  const call = await callOfAppend(request, gateway, streamName);
  return Response.json({ position: await makeCall(request, gateway, call) }, { status: 201 });
};

/** `GET /streams/{streamName}/messages` */
export const answerStreamMessages: Endpoint = (request, gateway, streamName) => {
  const query = parseQuery(QUERIES.page, request);
  return answerMessages(request, gateway, query, (page) => ({
    questions: [callTo("readStream", { streamName, ...page })],
    send: (sql) => readStream(sql, streamName, page),
  }), (message) => message.position);
};

/** `GET /streams/{streamName}/messages/last` */
export const answerLastMessage: Endpoint = async (request, gateway, streamName) => {
  const { type } = parseQuery(QUERIES.lastMessage, request);
  const message = await makeCall(request, gateway, {
    questions: [callTo("readLastMessage", { streamName, type })],
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
  const consumerGroup = size === undefined ? undefined : { member: member!, size };
  return answerMessages(request, gateway, { ...query, consumerGroup }, (page) => ({
    questions: [callTo("readCategory", { category, ...page })],
    send: (sql) => readCategory(sql, category, page),
  }), (message) => message.globalPosition);
};

/** `GET /messages` */
export const answerAllMessages: Endpoint = (request, gateway) => {
  const query = parseQuery(QUERIES.page, request);
  return answerMessages(request, gateway, query, (page) => ({
    questions: [callTo("readAll", page)],
    send: (sql) => readAll(sql, page),
  }), (message) => message.globalPosition);
};

/** `GET /messages/{id}` */
export const answerMessage: Endpoint = async (request, gateway, id) => {
  parseQuery(QUERIES.none, request);
  const [message] = await makeCall(request, gateway, {
    questions: [callTo("readMessages", { ids: [id] })],
    send: (sql) => readMessages(sql, [id]),
  });
  if (message === undefined) throw new Refusal(404, "There is no message with this id");
  return Response.json(message);
};

/** Makes a call if its arguments are right and it is allowed: before that, nothing is sent. */
async function makeCall<Answer>(
  request: Request,
  gateway: Gateway,
  call: Call<Answer>,
): Promise<Answer> {
  await permitCall(request, gateway, call);
  return await call.send(gateway.sql);
}

async function permitCall(request: Request, gateway: Gateway, call: Call<unknown>): Promise<void> {
  await statementOf(call);
  await gateway.permit(request, call.questions);
}

/** Answers a page of messages, or all of them as they come where events are asked for. */
async function answerMessages<Query extends PageQuery>(
  request: Request,
  gateway: Gateway,
  query: Query,
  callOf: (page: Query) => Call<Message[]>,
  place: (message: Message) => number,
): Promise<Response> {
  const page = { batchSize: Math.min(100, gateway.maxBatchSize), ...query };
  if (!/\btext\/event-stream\b/i.test(request.headers.get("accept") ?? "")) {
    return Response.json({ messages: await makeCall(request, gateway, callOf(page)) });
  }
  if (page.direction === "backward") {
    throw new Refusal(422, "Cannot follow messages backward: leave the direction out");
  }
  // Empty before the first event.
  const last = request.headers.get("last-event-id") === ""
    ? undefined
    : parseHeader(LAST_EVENT_ID_HEADER, request);
  const position = last === undefined ? page.position ?? 0 : last + 1;
  await permitCall(request, gateway, callOf({ ...page, position }));
  return answerLive({
    position,
    read: (position) => callOf({ ...page, position }).send(gateway.sql),
    place,
    onError: (error) => gateway.onError(error, request),
    // Not the request's: a runtime cancels the answer when its client has gone.
    signal: gateway.signal,
  });
}
