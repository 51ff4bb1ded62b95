import { jsonTextOf } from "../handle/_statement.ts";
import type { LearnedStatement } from "../http/gateway/sql/_statements.ts";
import { type AppendAnswer, placesOfRetry } from "../write/_append_to_streams.ts";
import { errorTypeOf } from "./_error_type.ts";
import type { SentParameters } from "./_trace_context.ts";
import { columnsBeforeData } from "./_written.ts";

/**
 * What kind of error an operation finds in the answer to its statement, which has not failed; undefined for none.
 *
 * The operation throws the error when the handle has answered, and the handle has to know it before. So this looks
 * at the answer, too.
 */
export function errorTypeIn(
  { operation, places }: LearnedStatement,
  parameters: SentParameters,
  answer: unknown,
): string | undefined {
  try {
    const text = jsonTextOf(answer);
    if (operation === "synchronize") return mismatchIn(text);
    const columns = parameters[places["columns"] ?? -1];
    if (columns == null) return text === "null" ? "DuplicateMessageError" : undefined;
    return operation === "writeBatch" ? errorOfBatch(columns, text) : undefined;
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
