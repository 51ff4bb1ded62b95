import type * as z from "zod";
import type { Gateway } from "../_gateway.ts";
import {
  EXPECTED_VERSION_HEADER,
  type Header,
  IDEMPOTENCY_KEY_HEADER,
  LAST_EVENT_ID_HEADER,
  QUERIES,
} from "./_input.ts";
import {
  type Json,
  MESSAGE_EXAMPLE,
  object,
  POSITION,
  PROBLEMS,
  ref,
  schemaOf,
  SCHEMAS,
  STREAM_VERSION,
} from "./_schemas.ts";
import { VERSION as PACKAGE_VERSION } from "../_version.ts";

/** `GET /openapi.json`: what the gateway has, for people and for generators of clients. */
export function answerOpenapi(_: Request, { basePath }: Gateway): Promise<Response> {
  return Promise.resolve(Response.json({ ...DOCUMENT, servers: [{ url: basePath || "/" }] }));
}

/** What an operation has beside its name. */
interface Parts {
  readonly query?: z.ZodType;
  readonly headers?: readonly Header<unknown>[];
  readonly body?: Json;
  /** The statuses of what can go wrong with it alone. */
  readonly problems?: readonly number[];
  readonly answers: Json;
}

/** What the parts of a path in braces are. */
const NAMES: Readonly<Record<string, Json>> = {
  streamName: {
    description: "A category and an id: percent-encoded, as all that is in a path.",
    schema: { type: "string" },
    example: "account-123",
  },
  category: {
    description: "A category, with its types.",
    schema: { type: "string" },
    example: "account",
  },
  id: { description: "The id of a message.", schema: { type: "string", format: "uuid" } },
};

const BODY_PROBLEMS = [400, 408, 413, 415];

const MESSAGES_ANSWER: Json = {
  description: "A page of messages, or all of them as they come: an event a message, whose id is " +
    "its position in what is read.",
  content: {
    "application/json": {
      schema: object({ messages: { type: "array", items: ref("Message") } }),
      example: { messages: [MESSAGE_EXAMPLE] },
    },
    "text/event-stream": {
      schema: { type: "string" },
      example: `retry: 1000\n\nid: 1\ndata: ${JSON.stringify(MESSAGE_EXAMPLE)}\n\n`,
    },
  },
};

const MESSAGE_ANSWER = json("The message.", ref("Message"), MESSAGE_EXAMPLE);

/** What there is: each path of `_routes.ts`. */
const PATHS: Json = {
  ...path("/streams/{streamName}", {
    get: ["streamVersion", "The version of a stream", {
      answers: {
        200: json(
          "The version.",
          object({ streamName: { type: "string" }, version: STREAM_VERSION }),
          { streamName: "account-123", version: 1 },
        ),
      },
    }],
  }),
  ...path("/streams/{streamName}/messages", {
    get: ["readStream", "The messages of a stream, by position", {
      query: QUERIES.page,
      headers: [LAST_EVENT_ID_HEADER],
      answers: { 200: MESSAGES_ANSWER },
    }],
    post: ["append", "Append to a stream: all of it, or nothing", {
      headers: [EXPECTED_VERSION_HEADER, IDEMPOTENCY_KEY_HEADER],
      body: { oneOf: [ref("NewMessage"), ref("NewMessages")] },
      problems: [...BODY_PROBLEMS, 409],
      answers: {
        201: json("Where the last message is.", object({ position: POSITION }), { position: 1 }),
      },
    }],
  }),
  ...path("/streams/{streamName}/messages/last", {
    get: ["readLastMessage", "The last message of a stream, or the last of a type", {
      query: QUERIES.lastMessage,
      problems: [404],
      answers: { 200: MESSAGE_ANSWER },
    }],
  }),
  ...path("/categories/{category}/messages", {
    get: ["readCategory", "The messages of a category, by global position", {
      query: QUERIES.categoryPage,
      headers: [LAST_EVENT_ID_HEADER],
      answers: { 200: MESSAGES_ANSWER },
    }],
  }),
  ...path("/messages", {
    get: ["readAll", "The messages of all streams, by global position", {
      query: QUERIES.page,
      headers: [LAST_EVENT_ID_HEADER],
      answers: { 200: MESSAGES_ANSWER },
    }],
  }),
  ...path("/messages/{id}", {
    get: ["readMessage", "A message by its id", {
      problems: [404],
      answers: { 200: MESSAGE_ANSWER },
    }],
  }),
  ...path("/sql", {
    post: ["sql", "Run a statement of @messagedb/client: for fetchSql()", {
      body: ref("Statement"),
      problems: BODY_PROBLEMS,
      answers: {
        200: json("Its rows.", ref("Rows")),
        400: {
          description: "The body cannot be read, or the database has an error.",
          content: {
            "application/json": { schema: ref("DatabaseError") },
            "application/problem+json": { schema: ref("Problem") },
          },
        },
      },
    }],
  }),
  "/openapi.json": {
    get: {
      operationId: "openapi",
      summary: "This document",
      security: [],
      parameters: [],
      responses: { 200: json("It.", { type: "object" }) },
    },
  },
};

const DOCUMENT: Json = {
  openapi: "3.1.0",
  info: {
    title: "A gateway to Message DB",
    version: PACKAGE_VERSION,
    description:
      "Append to the streams of a message store, read them, and follow them live: lists " +
      "of messages, asked for as text/event-stream, go on with what comes, and an EventSource that " +
      "was cut off misses nothing. HEAD is taken with GET. What is not described is 404, or 405 with Allow.",
  },
  paths: PATHS,
  // Whatever the gateway's rule looks at; these are the two that need no agreement.
  security: [{ bearer: [] }, { accessToken: [] }, {}],
  components: {
    schemas: SCHEMAS,
    responses: PROBLEMS,
    securitySchemes: {
      bearer: { type: "http", scheme: "bearer" },
      accessToken: { type: "apiKey", in: "query", name: "access_token" },
    },
  },
};

function path(
  template: string,
  operations: Readonly<Record<string, [operationId: string, summary: string, parts: Parts]>>,
): Json {
  const name = /\{(.*)\}/.exec(template)?.[1];
  const parameters = name === undefined
    ? []
    : [{ name, in: "path", required: true, ...NAMES[name] }];
  const described = Object.entries(operations).map(([method, [operationId, summary, parts]]) => {
    const { query = QUERIES.none, headers = [], body, answers } = parts;
    const problems = [
      403,
      422,
      500,
      503,
      ...parts.problems ?? [],
      ...name === undefined ? [] : [400],
    ];
    return [method, {
      operationId,
      summary,
      parameters: [
        ...parameters,
        ...Object.entries(schemaOf(query)["properties"] as Record<string, Json>)
          .filter(([name]) => name !== "access_token")
          .map(([name, schema]) => parameter("query", name, schema)),
        ...headers.map(({ name, schema }) => parameter("header", name, schemaOf(schema))),
      ],
      ...body &&
        { requestBody: { required: true, content: { "application/json": { schema: body } } } },
      responses: {
        ...Object.fromEntries(
          problems.map((status) => [status, { $ref: `#/components/responses/${status}` }]),
        ),
        ...answers,
      },
    }];
  });
  return { [template]: Object.fromEntries(described) };
}

function parameter(place: "query" | "header", name: string, schema: Json): Json {
  const { description, ...rest } = schema;
  return { name, in: place, description, schema: rest };
}

function json(description: string, schema: Json, example?: Json): Json {
  return {
    description,
    content: { "application/json": { schema, ...example && { example } } },
  };
}
