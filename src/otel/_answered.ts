import { jsonTextOf } from "../handle/_statement.ts";
import type { LearnedStatement } from "../http/gateway/sql/_statements.ts";
import { type AppendAnswer, placesOfRetry } from "../write/_append_to_streams.ts";
import type { WriteOutcome } from "../write/_write_each.ts";
import type { WrittenImport } from "../write/_write_missing.ts";
import { errorTypeOf } from "./_error_type.ts";
import type { SentParameters } from "./_trace_context.ts";
import { columnsBeforeData } from "./_written.ts";

/** What is found in the answer to a statement that has not failed. */
export interface FoundErrors {
  /** The error that the operation throws; of writes that fail alone, the error of the first that does. */
  readonly errorType: string | undefined;
  /** The error of each write, where one of them has failed or was not sent: undefined for none, null if not sent. */
  readonly each?: readonly (string | null | undefined)[];
}

/**
 * What kind of error an operation finds in the answer to its statement.
 *
 * The operation throws the error when the handle has answered, and the handle has to know it before. So this looks
 * at the answer, too.
 */
export function foundIn(
  { operation, places }: LearnedStatement,
  parameters: SentParameters,
  answer: unknown,
): FoundErrors {
  try {
    const text = jsonTextOf(answer);
    if (operation === "synchronize") return { errorType: mismatchIn(text) };
    const columns = parameters[places["columns"] ?? -1];
    if (columns == null) return { errorType: ERRORS_OF_ONE[text] };
    if (operation === "write") return foundInEach(text);
    return { errorType: operation === "writeBatch" ? errorOfBatch(columns, text) : undefined };
  } catch (error) {
    return { errorType: errorTypeOf(error) };
  }
}

/** The answers to the write of one message that are errors. */
const ERRORS_OF_ONE: Readonly<Record<string, string>> = {
  "null": "DuplicateMessageError",
  // What a consumer settles is at a version that has another message.
  '"overwritten"': "StoreWentBackError",
};

/** The writes of a group: each has an outcome of its own. */
function foundInEach(text: string): FoundErrors {
  // Most often, all are positions.
  if (/^\[[\d,]+\]$/.test(text)) return { errorType: undefined };
  const outcomes = JSON.parse(text) as readonly (WriteOutcome | "busy")[];
  const each = outcomes.map((outcome) =>
    outcome === "busy"
      ? null
      : outcome === "duplicate"
      ? "DuplicateMessageError"
      : typeof outcome === "number"
      ? undefined
      : "WrongExpectedVersionError"
  );
  return { errorType: each.find((it) => typeof it === "string") ?? undefined, each };
}

/** What an import is refused by; undefined if it is not. */
export function errorOfImport(answer: unknown): string | undefined {
  try {
    const { refusal } = JSON.parse(jsonTextOf(answer)) as WrittenImport;
    if (refusal === null) return undefined;
    return refusal.reason === "elsewhere" ? "DuplicateMessageError" : "TypeError";
  } catch (error) {
    return errorTypeOf(error);
  }
}

/** Another message is in the stream, where `synchronize` was to write. */
function mismatchIn(text: string): string | undefined {
  const { other } = JSON.parse(text) as { readonly other: unknown };
  return other === null ? undefined : "MessageMismatchError";
}

/** The answer of a batch that was written, which may be long, and is not read further. */
const WRITTEN = '{"known" : null, "unsure" : null,';

function errorOfBatch(columns: string, text: string): string | undefined {
  if (text.startsWith(WRITTEN)) return undefined;
  const { known, unsure, positions } = JSON.parse(text) as AppendAnswer;
  if (known === null) return unsure === null ? undefined : "Error";
  const { id, streamName = [], expectedVersion = [] } = columnsBeforeData(columns);
  const messages = id.map((it) => it === null ? null : { id: it });
  // It throws if some of the messages are known, and not all of them, or not in their order.
  placesOfRetry(messages, streamName, expectedVersion, known, positions);
  return undefined;
}
