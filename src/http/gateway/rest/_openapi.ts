import type * as z from "zod";
import type { Gateway } from "../_gateway.ts";
import {
  EXPECTED_VERSION_HEADER,
  type Header,
  IDEMPOTENCY_KEY_HEADER,
  IF_MATCH_HEADER,
  IF_NONE_MATCH_HEADER,
  LAST_EVENT_ID_HEADER,
  QUERIES,
} from "./_input.ts";
import {
  type Json,
  MESSAGE_EXAMPLE,
  objectSchema,
  POSITION_SCHEMA,
  PROBLEMS,
  schemaOf,
  schemaRef,
  SCHEMAS,
  STREAM_VERSION_SCHEMA,
} from "./_schemas.ts";
import { VERSION as PACKAGE_VERSION } from "../_version.ts";

/** `GET /openapi.json`: describes the gateway to people, and to generators of clients. */
export function answerOpenapi(_: Request, { basePath }: Gateway): Promise<Response> {
  return Promise.resolve(Response.json({ ...DOCUMENT, servers: [{ url: basePath || "/" }] }));
}

/** What differs from operation to operation. */
interface OperationParts {
  readonly query?: z.ZodType;
  readonly headers?: readonly Header<unknown>[];
  readonly body?: Json;
  /** The statuses of problems that not every operation can have. */
  readonly problems?: readonly number[];
  readonly answers: Json;
}

/** The parameters of paths: the parts in braces. */
const PATH_PARAMETERS: Readonly<Record<string, Json>> = {
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

const ETAG: Json = {
  ETag: { description: "The version, for If-Match.", schema: { type: "string" } },
};

const BODY_PROBLEMS = [400, 408, 413, 415];

const MESSAGES_ANSWER: Json = {
  description: "A page of messages, or all of them as they come: an event a message, whose id is " +
    "its position in what is read.",
  content: {
    "application/json": {
      schema: objectSchema({ messages: { type: "array", items: schemaRef("Message") } }),
      example: { messages: [MESSAGE_EXAMPLE] },
    },
    "text/event-stream": {
      schema: { type: "string" },
      example: `retry: 1000\n\nid: 1\ndata: ${JSON.stringify(MESSAGE_EXAMPLE)}\n\n`,
    },
  },
};

const MESSAGE_ANSWER = jsonContent("The message.", schemaRef("Message"), MESSAGE_EXAMPLE);

/** Each path of `_routes.ts`. */
const PATHS: Json = {
  ...describePath("/streams", {
    post: ["writeStreams", "Append to several streams: all of it, or nothing", {
      headers: [IDEMPOTENCY_KEY_HEADER],
      body: schemaRef("NewStreams"),
      problems: [...BODY_PROBLEMS, 409],
      answers: {
        201: jsonContent(
          "Where the last message of each stream is; of a stream that is only checked, its version.",
          objectSchema({ positions: { type: "array", items: STREAM_VERSION_SCHEMA } }),
          { positions: [5, 0] },
        ),
      },
    }],
  }),
  ...describePath("/streams/{streamName}", {
    get: ["streamVersion", "The version of a stream", {
      headers: [IF_NONE_MATCH_HEADER],
      answers: {
        200: {
          ...jsonContent(
            "The version.",
            objectSchema({ streamName: { type: "string" }, version: STREAM_VERSION_SCHEMA }),
            { streamName: "account-123", version: 1 },
          ),
          headers: ETAG,
        },
        304: { description: "It has the ETag still that If-None-Match names." },
      },
    }],
  }),
  ...describePath("/streams/{streamName}/messages", {
    get: ["readStream", "The messages of a stream, by position", {
      query: QUERIES.page,
      headers: [LAST_EVENT_ID_HEADER],
      answers: { 200: MESSAGES_ANSWER },
    }],
    post: ["append", "Append to a stream: all of it, or nothing", {
      headers: [
        EXPECTED_VERSION_HEADER,
        IF_MATCH_HEADER,
        IF_NONE_MATCH_HEADER,
        IDEMPOTENCY_KEY_HEADER,
      ],
      body: { oneOf: [schemaRef("NewMessage"), schemaRef("NewMessages")] },
      problems: [...BODY_PROBLEMS, 409],
      answers: {
        201: {
          ...jsonContent(
            "Where the last message is.",
            objectSchema({ position: POSITION_SCHEMA }),
            { position: 1 },
          ),
          headers: ETAG,
        },
      },
    }],
  }),
  ...describePath("/streams/{streamName}/messages/last", {
    get: ["readLastMessage", "The last message of a stream, or the last of a type", {
      query: QUERIES.lastMessage,
      problems: [404],
      answers: { 200: MESSAGE_ANSWER },
    }],
  }),
  ...describePath("/categories/{category}/messages", {
    get: ["readCategory", "The messages of a category, by global position", {
      query: QUERIES.categoryPage,
      headers: [LAST_EVENT_ID_HEADER],
      answers: { 200: MESSAGES_ANSWER },
    }],
  }),
  ...describePath("/categories/{category}/ids", {
    get: ["entityIds", "The ids of a category's streams, sorted", {
      answers: {
        200: jsonContent(
          "The ids. A compound id is not split.",
          objectSchema({ ids: { type: "array", items: { type: "string" } } }),
          { ids: ["123", "456"] },
        ),
      },
    }],
  }),
  ...describePath("/messages", {
    get: ["readAll", "The messages of all streams, by global position", {
      query: QUERIES.page,
      headers: [LAST_EVENT_ID_HEADER],
      answers: { 200: MESSAGES_ANSWER },
    }],
  }),
  ...describePath("/messages/{id}", {
    get: ["readMessage", "A message by its id", {
      problems: [404],
      answers: { 200: MESSAGE_ANSWER },
    }],
  }),
  ...describePath("/sql", {
    post: ["sql", "Run a statement of @messagedb/client: for fetchSql()", {
      body: schemaRef("Statement"),
      problems: BODY_PROBLEMS,
      answers: {
        200: jsonContent("Its rows.", schemaRef("Rows")),
        400: {
          description: "The body cannot be read, or the database has an error.",
          content: {
            "application/json": { schema: schemaRef("DatabaseError") },
            "application/problem+json": { schema: schemaRef("Problem") },
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
      responses: { 200: jsonContent("It.", { type: "object" }) },
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
  // `authorize` may look at anything. These two schemes need no agreement between client and gateway.
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

type Operation = readonly [operationId: string, summary: string, parts: OperationParts];

function describePath(template: string, operations: Readonly<Record<string, Operation>>): Json {
  const pathParameter = /\{(\w+)\}/.exec(template)?.[1];
  const described = Object.entries(operations).map(([method, operation]) => {
    return [method, describeOperation(pathParameter, operation)];
  });
  return { [template]: Object.fromEntries(described) };
}

function describeOperation(
  pathParameter: string | undefined,
  [operationId, summary, parts]: Operation,
): Json {
  const { query = QUERIES.none, headers = [], body, answers } = parts;
  const problems = [403, 412, 422, 500, 503, ...parts.problems ?? []];
  if (pathParameter !== undefined) problems.push(400);
  return {
    operationId,
    summary,
    parameters: [
      ...describePathParameter(pathParameter),
      ...describeQuery(query),
      ...headers.map(({ name, schema }) => describeParameter("header", name, schemaOf(schema))),
    ],
    ...body &&
      { requestBody: { required: true, content: { "application/json": { schema: body } } } },
    responses: {
      ...Object.fromEntries(
        problems.map((status) => [status, { $ref: `#/components/responses/${status}` }]),
      ),
      ...answers,
    },
  };
}

function describePathParameter(name: string | undefined): Json[] {
  if (name === undefined) return [];
  return [{ name, in: "path", required: true, ...PATH_PARAMETERS[name] }];
}

function describeQuery(query: z.ZodType): Json[] {
  const properties = schemaOf(query)["properties"] as Record<string, Json>;
  return Object.entries(properties)
    .map(([name, schema]) => describeParameter("query", name, schema));
}

function describeParameter(place: "query" | "header", name: string, schema: Json): Json {
  const { description, ...rest } = schema;
  return { name, in: place, description, schema: rest };
}

function jsonContent(description: string, schema: Json, example?: Json): Json {
  return {
    description,
    content: { "application/json": { schema, ...example && { example } } },
  };
}
