import * as z from "zod";
import { invalid } from "../../../lib/invalid.ts";
import { meantBy } from "../../../names/_check.ts";
import type { Direction, MessageInput, Metadata } from "../../../types.ts";
import type { StreamInput } from "../../../write/stream_input.ts";
import { STREAM_EXISTS } from "../../../write/write.ts";
import { Refusal } from "../_problem.ts";
import { urlOf } from "../_url_of.ts";

/** The page of messages that a query asks for. */
export interface PageQuery {
  readonly position?: number | undefined;
  readonly batchSize?: number | undefined;
  readonly direction?: Direction | undefined;
}

/** The page of a category that a query asks for. */
export interface CategoryPageQuery extends PageQuery {
  readonly correlation?: string | undefined;
  readonly member?: number | undefined;
  readonly size?: number | undefined;
}

/** A single message to append. */
export interface AppendedMessage extends MessageInput {
  readonly expectedVersion?: number | undefined;
}

/** Messages to append together. */
export interface AppendedBatch {
  readonly messages: readonly MessageInput[];
  readonly expectedVersion?: number | undefined;
}

/** An integer in a query or a header. */
function integer(description: string, least = 0, most?: number): z.ZodType<number> {
  const rule = `an integer from ${least}${most === undefined ? "" : ` to ${most}`}`;
  const text = z.string().regex(/^(-1|\d{1,16})$/, rule)
    .refine((it) => Number(it) >= least && Number(it) <= (most ?? Infinity), rule);
  const limits = { minimum: least, ...most !== undefined && { maximum: most } };
  return text.transform(Number).meta({ type: "integer", ...limits, description });
}

/** An object without other members. The message of an issue is the rule that is broken. */
function strictObject<Shape extends z.ZodRawShape>(
  shape: Shape,
  rule = "an object",
): z.ZodObject<z.util.Writeable<Shape>, z.core.$strict> {
  const names = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== "unrecognized_keys") return rule;
      return names.length === 0 ? "left out" : meantBy(issue.keys[0]!, names);
    },
  });
}

const PAGE_QUERY = {
  position: integer(
    "Where to start: this position is included. Of a stream its own, else the global.",
  ).optional(),
  batchSize: integer(
    "How many messages at most: 100, or as many as a call may have, if not given.",
    1,
  ).optional(),
  direction: z.enum(["forward", "backward"], '"forward" or "backward"').meta({
    description: "Which way to read: forward, if not given; backward begins at the end.",
  }).optional(),
};

/** The parameters that a query may have, for each kind of resource. */
export const QUERIES: {
  readonly none: z.ZodType<object>;
  readonly page: z.ZodType<PageQuery>;
  readonly categoryPage: z.ZodType<CategoryPageQuery>;
  readonly lastMessage: z.ZodType<{ readonly type?: string | undefined }>;
} = {
  none: strictObject({}),
  page: strictObject(PAGE_QUERY),
  categoryPage: strictObject({
    ...PAGE_QUERY,
    correlation: z.string().meta({
      description: "Only messages whose correlation stream is of this category.",
    }).optional(),
    member: integer("The number of a consumer group's member, from 0: only its share is read.")
      .optional(),
    // Message DB casts the size to smallint.
    size: integer("How many members the group has; goes with member.", 1, 32767).optional(),
  }),
  lastMessage: strictObject({
    type: z.string().meta({ description: "The message type wanted; any, if not given." })
      .optional(),
  }),
};

const MESSAGE_FIELDS = {
  type: z.string("text").meta({ description: "What happened.", minLength: 1 }),
  data: z.unknown().meta({ description: "The payload: any JSON." }).optional(),
  metadata: z.custom<Metadata | null>().meta({
    type: ["object", "null"],
    description: "What is known about the message rather than said by it.",
  }).optional(),
  id: z.string("a UUID").meta({
    format: "uuid",
    description: "Chosen by you, it has the message written once, however often it is sent.",
  }).optional(),
};

const KEY_RULE = "text of 1 to 255 characters";

const EXPECTED_VERSION = z.number("a number").meta({
  type: "integer",
  minimum: STREAM_EXISTS,
  description: "The position of the stream's last message as you know it; -1 for none, -4 for any.",
}).optional();

/** A header that a request may have. */
export interface Header<Parsed> {
  readonly name: string;
  readonly schema: z.ZodType<Parsed>;
}

export const EXPECTED_VERSION_HEADER: Header<number> = {
  name: "Expected-Version",
  schema: z.string().regex(/^(-1|-4|\d{1,16})$/, "an integer from -1, or -4").transform(Number)
    .meta({
      type: "integer",
      minimum: STREAM_EXISTS,
      description:
        "Write only if the stream's last message is at this position; -1 for no message, -4 " +
        "for any message.",
    }),
};

export const IDEMPOTENCY_KEY_HEADER: Header<string> = {
  name: "Idempotency-Key",
  // The IETF's draft quotes the key. Clients that are older than the draft do not.
  schema: z.string().transform((text) => text.replace(/^"(.*)"$/, "$1")).pipe(
    z.string().min(1, KEY_RULE).max(255, KEY_RULE),
  ).meta({
    description:
      "Gives ids to messages without one, made of this key, the stream's name and their " +
      "place, so that the same request sent again writes nothing and answers what the first did. The " +
      "same key with other messages is refused. A new UUID for each request is a good key.",
  }),
};

export const IF_MATCH_HEADER: Header<string> & { readonly rule: string } = {
  name: "If-Match",
  rule: 'one ETag, with the version that the write expects: "4", or *, for a stream with messages',
  schema: z.string().meta({
    description:
      "The ETag that the stream has to have: as Expected-Version, and 412 if it has another. To write, " +
      "*: only if the stream has a message.",
  }),
};

export const IF_NONE_MATCH_HEADER: Header<string> & { readonly rule: string } = {
  name: "If-None-Match",
  rule: "*, for a stream without messages",
  schema: z.string().meta({
    description:
      "To write, *: only if the stream has no message, else 412. To read, an ETag: 304 if it " +
      "is still the same.",
  }),
};

export const LAST_EVENT_ID_HEADER: Header<number> = {
  name: "Last-Event-ID",
  schema: integer(
    "The last event that was seen, to go on after: an EventSource sends it when it comes again. It " +
      "counts more than position.",
  ),
};

const MESSAGE_BODY = strictObject(MESSAGE_FIELDS, "an object with a type");

/** The bodies that append: a single message, a batch, or messages for several streams. */
export const BODIES: {
  readonly message: z.ZodType<AppendedMessage>;
  readonly batch: z.ZodType<AppendedBatch>;
  readonly streams: z.ZodType<{ readonly streams: readonly StreamInput[] }>;
} = {
  message: strictObject({ ...MESSAGE_FIELDS, expectedVersion: EXPECTED_VERSION }),
  batch: strictObject({
    messages: z.array(MESSAGE_BODY, "an array")
      .meta({ description: "Written in this order, all or none.", minItems: 1 }),
    expectedVersion: EXPECTED_VERSION,
  }),
  streams: strictObject({
    streams: z.array(
      strictObject({
        streamName: z.string("text").meta({ description: "A category and an id." }),
        messages: z.array(MESSAGE_BODY, "an array").meta({
          description: "None, to check the expected version of the stream alone.",
        }),
        expectedVersion: EXPECTED_VERSION,
      }, "an object with a streamName and messages"),
      "an array",
    ).meta({ description: "Each stream once. All is written, or nothing.", minItems: 1 }),
  }),
};

/** Parses what a client sent. A refusal names the first thing that is wrong, and its place. */
export function parseInput<Parsed>(
  schema: z.ZodType<Parsed>,
  name: string,
  input: unknown,
): Parsed {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  if (issue.code === "unrecognized_keys") {
    const unknown = [...issue.path, issue.keys[0]].join(".");
    throw new Refusal(
      422,
      `Cannot use ${JSON.stringify(unknown)} in ${name}: it must be ${issue.message}`,
    );
  }
  const value = issue.path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown>)[key],
    input,
  );
  throw new Refusal(422, invalid(issue.path.join(".") || name, value, issue.message).message);
}

/** Parses the query of a request. */
export function parseQuery<Parsed>(schema: z.ZodType<Parsed>, request: Request): Parsed {
  const { searchParams } = urlOf(request);
  const query = new Map<string, string>();
  for (const [name, value] of searchParams) {
    if (query.has(name)) {
      throw new Refusal(422, `Cannot use ${JSON.stringify(name)} in the query twice`);
    }
    query.set(name, value);
  }
  // For `authorize`. An EventSource sends no headers of its own, so its token may be in the query.
  query.delete("access_token");
  return parseInput(schema, "the query", Object.fromEntries(query));
}

/** Parses a header of a request; undefined if the request does not have the header. */
export function parseHeader<Parsed>(
  { schema, name }: Header<Parsed>,
  { headers }: Request,
): Parsed | undefined {
  return parseInput(schema.optional(), name, headers.get(name) ?? undefined);
}
