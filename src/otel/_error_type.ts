import { type Attributes, type Span, SpanStatusCode } from "@opentelemetry/api";
import { MessageDbError } from "../errors.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import { ATTRIBUTE } from "./_conventions.ts";

/**
 * What kind of error it is: the SQLSTATE, the code of a system's error, or the name of the class. Never its
 * message: PostgreSQL's and a handler's own may quote data.
 */
export function errorTypeOf(error: unknown): string {
  if (error instanceof MessageDbError) return error.name;
  const state = sqlStateOf(error);
  if (state !== undefined) return state;
  const { code, name } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(code)) return code;
  return error instanceof Error && typeof name === "string" && /^[\w.$]{1,80}$/.test(name)
    ? name
    : "_OTHER";
}

/** Marks a span as failed, and gives the attributes that say how, for metrics too. */
export function failSpan(span: Span, errorType: string): Attributes {
  const attributes: Attributes = { [ATTRIBUTE.errorType]: errorType };
  span.setAttributes(attributes);
  span.setStatus({ code: SpanStatusCode.ERROR });
  return attributes;
}

/** The attributes of a metric: those of a failure, too, if there is one. */
export function withFailure(attributes: Attributes, failure: Attributes | undefined): Attributes {
  return failure === undefined ? attributes : { ...attributes, ...failure };
}
