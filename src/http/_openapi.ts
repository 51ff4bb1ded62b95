import * as z from "zod";
import type { Gateway } from "./_gateway.ts";
import { BODIES, QUERIES } from "./_input.ts";
import { VERSION } from "./_version.ts";

type Json = Readonly<Record<string, unknown>>;

/** `GET /openapi.json`: what the gateway has, for people and for generators of clients. */
export function answerOpenapi(_: Request, { basePath }: Gateway): Promise<Response> {
  return Promise.resolve(Response.json({ ...DOCUMENT, servers: [{ url: basePath || "/" }] }));
}

const position = { type: "integer", minimum: 0 };
const version = {
  type: "integer",
  minimum: -1,
  description: "The last position; -1 for no message.",
};
const streamName = { type: "string", examples: ["account-123"] };
const id = { type: "string", format: "uuid" };

const message = object({
  id,
  streamName,
  type: { type: "string" },
  position: { ...position, description: "Its place in the stream, from 0." },
  globalPosition: { ...position, description: "Its place in the store, from 1, with gaps." },
  data: { description: "The payload: any JSON." },
  metadata: { type: ["object", "null"] },
  time: { type: "string", format: "date-time" },
});

/** Members that every problem document has; those of a conflict say which one it is. */
const problem = {
  type: { const: "about:blank" },
  title: { type: "string" },
  status: { type: "integer" },
  detail: { type: "string", description: "What was wrong with this request, and what to do." },
};

const conflict = {
  oneOf: [
    object({
      ...problem,
      code: { const: "WRONG_EXPECTED_VERSION" },
      streamName,
      expectedVersion: version,
      actualVersion: version,
    }),
    object({ ...problem, code: { const: "DUPLICATE_MESSAGE" }, id }),
  ],
};

const list = {
  description: "A page of messages, or all of them as they come.",
  content: {
    "application/json": { schema: object({ messages: { type: "array", items: ref("Message") } }) },
    "text/event-stream": {
      schema: { type: "string" },
      example: 'id: 1\ndata: {"id":"…","streamName":"account-123","type":"Deposited"}\n\n',
    },
  },
};

const schemas = {
  Message: message,
  NewMessage: schemaOf(BODIES.message),
  NewMessages: schemaOf(BODIES.batch),
  Problem: { ...object(problem), additionalProperties: true },
  Conflict: conflict,
  DatabaseError: {
    ...object({ message: { type: "string" }, code: { type: "string", pattern: "^[0-9A-Z]{5}$" } }),
    additionalProperties: true,
    description: "An error of PostgreSQL, with its SQLSTATE for a code.",
  },
  Statement: {
    type: "object",
    properties: {
      query: { type: "string" },
      params: { type: "array", items: { type: ["string", "null"] } },
    },
    required: ["query"],
  },
  Rows: object({
    command: { const: "SELECT" },
    rowCount: { const: 1 },
    fields: { type: "array" },
    rows: { type: "array", items: { type: ["object", "array"] } },
  }),
};

const lastEventId = header(
  "Last-Event-ID",
  { type: "integer", minimum: 0 },
  "The last event that was seen: an EventSource sends it when it comes again.",
);

const read = { 422: refusal("A value is not what it has to be.") };
const missing = { ...read, 404: refusal("There is no such message.") };
const written = {
  422: refusal("A value is not what it has to be."),
  400: refusal("The body is no JSON in UTF-8."),
  408: refusal("The body did not come in time."),
  413: refusal("The body is too large."),
  415: refusal("The body is not sent as application/json, or is compressed."),
};

/** What there is: each path of `_routes.ts`. */
const paths = {
  "/streams/{streamName}": {
    get: operation("streamName", "The version of a stream", {
      responses: { ...read, 200: json("The version.", object({ streamName, version })) },
    }),
  },
  "/streams/{streamName}/messages": {
    get: operation("streamName", "The messages of a stream, by position", {
      parameters: [...queryOf(QUERIES.page), lastEventId],
      responses: { ...read, 200: list },
    }),
    post: operation("streamName", "Append to a stream: all of it, or nothing", {
      parameters: [
        header("Expected-Version", version, "Write only if the stream is at this version."),
        header(
          "Idempotency-Key",
          { type: "string", minLength: 1, maxLength: 255 },
          "Gives ids to messages without one. The same request sent again writes nothing and answers " +
            "the first position; its messages are not compared.",
        ),
      ],
      requestBody: body({ oneOf: [ref("NewMessage"), ref("NewMessages")] }),
      responses: {
        ...written,
        201: json("Where the last message is.", object({ position })),
        409: problems("The stream is at another version, or an id is taken.", ref("Conflict")),
      },
    }),
  },
  "/streams/{streamName}/messages/last": {
    get: operation("streamName", "The last message of a stream, or the last of a type", {
      parameters: queryOf(QUERIES.lastMessage),
      responses: { ...missing, 200: json("The message.", ref("Message")) },
    }),
  },
  "/categories/{category}/messages": {
    get: operation("category", "The messages of a category, by global position", {
      parameters: [...queryOf(QUERIES.categoryPage), lastEventId],
      responses: { ...read, 200: list },
    }),
  },
  "/messages": {
    get: operation(undefined, "The messages of all streams, by global position", {
      parameters: [...queryOf(QUERIES.page), lastEventId],
      responses: { ...read, 200: list },
    }),
  },
  "/messages/{id}": {
    get: operation("id", "A message by its id", {
      responses: { ...missing, 200: json("The message.", ref("Message")) },
    }),
  },
  "/openapi.json": {
    get: operation(undefined, "This document", {
      responses: { 200: json("It.", { type: "object" }) },
    }),
  },
  "/sql": {
    post: operation(undefined, "Run a statement of @messagedb/client: for fetchSql()", {
      requestBody: body(ref("Statement")),
      responses: {
        ...written,
        200: json("Its rows.", ref("Rows")),
        400: {
          description: "The body is no JSON in UTF-8, or the database has an error.",
          content: {
            "application/json": { schema: ref("DatabaseError") },
            "application/problem+json": { schema: ref("Problem") },
          },
        },
      },
    }),
  },
};

const DOCUMENT = {
  openapi: "3.1.0",
  info: {
    title: "A gateway to Message DB",
    version: VERSION,
    description:
      "Lists of messages, asked for as text/event-stream, are followed live: an event a " +
      "message, whose id is the position.",
  },
  paths,
  components: { schemas },
};

function operation(name: string | undefined, summary: string, more: Json): Json {
  const { parameters = [], responses, ...rest } = more as {
    parameters?: Json[];
    responses: Json;
  };
  const path = name === undefined ? [] : [
    { name, in: "path", required: true, schema: name === "id" ? id : { type: "string" } },
  ];
  return {
    summary,
    parameters: [...path, ...parameters],
    ...rest,
    responses: {
      ...responses,
      403: refusal("It is not allowed."),
      default: refusal("Anything else, such as 405 and 503."),
    },
  };
}

function queryOf(query: z.ZodType): Json[] {
  return Object.entries(schemaOf(query)["properties"] as Record<string, Json>).map(
    ([name, { description, ...schema }]) => ({ name, in: "query", description, schema }),
  );
}

function header(name: string, schema: Json, description: string): Json {
  return { name, in: "header", description, schema };
}

function body(schema: Json): Json {
  return { required: true, content: { "application/json": { schema } } };
}

function json(description: string, schema: Json): Json {
  return { description, content: { "application/json": { schema } } };
}

function refusal(description: string): Json {
  return problems(description, ref("Problem"));
}

function problems(description: string, schema: Json): Json {
  return { description, content: { "application/problem+json": { schema } } };
}

function object(properties: Json): Json {
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function schemaOf(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { unrepresentable: "any" });
  return rest;
}
