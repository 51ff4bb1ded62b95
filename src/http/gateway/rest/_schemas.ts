import * as z from "zod";
import { DuplicateMessageError, WrongExpectedVersionError } from "../../../errors.ts";
import { STREAM_EXISTS } from "../../../write/write.ts";
import { BODIES } from "./_input.ts";
import { answerTooLarge } from "../_limit_answers.ts";
import {
  FAILED,
  problemDocumentOf,
  Refusal,
  refusalOf,
  tooManyFollowers,
  UNAVAILABLE,
} from "../_problem.ts";

export type Json = Readonly<Record<string, unknown>>;

const EXAMPLE_ID = "0b1d6f3e-8a4c-4f6b-b1a7-5c2e9d8f7a61";
const streamNameSchema = { type: "string" };
const idSchema = { type: "string", format: "uuid" };

export const POSITION_SCHEMA: Json = { type: "integer", minimum: 0 };
export const STREAM_VERSION_SCHEMA: Json = {
  type: "integer",
  minimum: -1,
  description: "The position of the last message; -1 for no message.",
};

export const MESSAGE_EXAMPLE: Json = {
  id: EXAMPLE_ID,
  streamName: "account-123",
  type: "Deposited",
  position: 1,
  globalPosition: 42,
  data: { amount: 11 },
  metadata: null,
  time: "2026-01-02T03:04:05.678Z",
};

const NEW_MESSAGE_EXAMPLE: Json = { type: "Deposited", data: { amount: 11 } };

/** The members that every problem document has. Each kind of conflict has further members. */
const problemMembers = {
  type: { const: "about:blank" },
  title: { type: "string" },
  status: { type: "integer" },
  detail: { type: "string", description: "What was wrong with this request, and what to do." },
};

/** The bodies of requests and answers. */
export const SCHEMAS: Json = {
  Message: {
    ...objectSchema({
      id: idSchema,
      streamName: streamNameSchema,
      type: { type: "string" },
      position: { ...POSITION_SCHEMA, description: "Its place in the stream, from 0." },
      globalPosition: {
        ...POSITION_SCHEMA,
        description: "Its place in the store, from 1, with gaps.",
      },
      data: { description: "The payload: any JSON." },
      metadata: { type: ["object", "null"] },
      time: { type: "string", format: "date-time" },
    }),
    examples: [MESSAGE_EXAMPLE],
  },
  NewMessage: {
    ...schemaOf(BODIES.message),
    examples: [NEW_MESSAGE_EXAMPLE, { ...NEW_MESSAGE_EXAMPLE, id: EXAMPLE_ID, expectedVersion: 0 }],
  },
  NewMessages: {
    ...schemaOf(BODIES.batch),
    examples: [{ messages: [NEW_MESSAGE_EXAMPLE, { type: "Closed" }], expectedVersion: 0 }],
  },
  NewStreams: {
    ...schemaOf(BODIES.streams),
    examples: [{
      streams: [
        { streamName: "account-123", messages: [{ type: "Withdrawn" }], expectedVersion: 4 },
        { streamName: "account-456", messages: [{ type: "Deposited" }] },
      ],
    }],
  },
  Problem: { ...objectSchema(problemMembers), additionalProperties: true },
  Conflict: {
    oneOf: [
      objectSchema({
        ...problemMembers,
        code: { const: "WRONG_EXPECTED_VERSION" },
        streamName: streamNameSchema,
        expectedVersion: { ...STREAM_VERSION_SCHEMA, minimum: STREAM_EXISTS },
        actualVersion: STREAM_VERSION_SCHEMA,
      }),
      objectSchema({ ...problemMembers, code: { const: "DUPLICATE_MESSAGE" }, id: idSchema }),
    ],
  },
  DatabaseError: {
    ...objectSchema({
      message: { type: "string" },
      code: { type: "string", pattern: "^[0-9A-Z]{5}$" },
    }),
    additionalProperties: true,
    description: "An error of PostgreSQL, with its SQLSTATE for a code.",
    examples: [{ message: "Wrong expected version: …", code: "P0001", severity: "ERROR" }],
  },
  Statement: {
    type: "object",
    properties: {
      query: { type: "string" },
      params: { type: "array", items: { type: ["string", "null"] } },
    },
    required: ["query"],
    examples: [{ query: "select …", params: ["account-123"] }],
  },
  Rows: {
    ...objectSchema({
      command: { const: "SELECT" },
      rowCount: { const: 1 },
      fields: { type: "array" },
      rows: { type: "array", items: { type: ["object", "array"] } },
    }),
    examples: [{
      command: "SELECT",
      rowCount: 1,
      fields: [{ name: "json", dataTypeID: 25 }],
      rows: [{ json: "-1" }],
    }],
  },
};

/** The answers of 400 and more by status, with problem documents as the gateway sends them. */
export const PROBLEMS: Json = {
  400: problemContent("The path or the body cannot be read.", [
    new Refusal(400, "Cannot read this body: it is not JSON"),
  ]),
  403: problemContent("It is not allowed.", [
    new Refusal(403, 'Cannot write to stream "account-123": it is not allowed'),
  ]),
  404: problemContent("There is no such message.", [
    new Refusal(404, "There is no message with this id"),
  ]),
  408: problemContent("The body did not come in time.", [
    new Refusal(408, "Cannot read this body: it did not come within 10000 ms"),
  ]),
  409: problemContent("The stream is at another version, or an id is taken.", [
    refusalOf(new WrongExpectedVersionError("account-123", 4, 5)),
    refusalOf(new DuplicateMessageError(EXAMPLE_ID)),
  ], "Conflict"),
  412: problemContent("A condition of the headers does not hold.", [
    new Refusal(412, new WrongExpectedVersionError("account-123", 4, 5).message, {
      code: "WRONG_EXPECTED_VERSION",
      streamName: "account-123",
      expectedVersion: 4,
      actualVersion: 5,
    }),
  ]),
  413: problemContent("The body is too large.", [
    new Refusal(413, "Cannot read this body: it is larger than 1048576 bytes", {
      maxBytes: 1048576,
    }),
  ]),
  415: problemContent("The body is not sent as application/json, or is compressed.", [
    new Refusal(415, "Cannot read this body: send it as content-type application/json"),
  ]),
  422: problemContent("A value is not what it has to be.", [
    new Refusal(422, 'Cannot use "abc" as "position": it must be an integer from 0'),
    answerTooLarge(16_777_216),
  ]),
  500: problemContent("The gateway failed.", [FAILED]),
  503: {
    ...problemContent("The message store cannot be reached, or has too many followers.", [
      UNAVAILABLE,
      tooManyFollowers(1000),
    ]),
    headers: { "Retry-After": { description: "In seconds.", schema: { type: "integer" } } },
  },
};

function problemContent(
  description: string,
  refusals: readonly Refusal[],
  schema = "Problem",
): Json {
  const examples = Object.fromEntries(
    refusals.map((it) => {
      const value = problemDocumentOf(it);
      return [String(value["code"] ?? value["title"]).replaceAll(" ", "_"), { value }];
    }),
  );
  return {
    description,
    content: { "application/problem+json": { schema: schemaRef(schema), examples } },
  };
}

/** The schema of an object that has all of these properties, and no others. */
export function objectSchema(properties: Json): Json {
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

export function schemaRef(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

/** The JSON Schema of what zod parses. */
export function schemaOf(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { unrepresentable: "any" });
  return rest;
}
