import { textOf } from "../../handle/_statement_text.ts";
import { category } from "../../names/stream_name.ts";
import type { Sql } from "../../types.ts";
import { Refusal } from "./_problem.ts";
import type { GatewayCall } from "./call.ts";

/** A call of an operation, before it is made. */
export interface Call<Answer> {
  /** What `authorize` is asked: about each stream that it touches. */
  readonly questions: readonly GatewayCall[];
  readonly send: (sql: Sql) => Promise<Answer>;
}

/** What `authorize` is asked about an operation. */
export function callTo(
  operation: GatewayCall["operation"],
  parameters: Omit<GatewayCall, "operation" | "writes">,
): GatewayCall {
  const { streamName } = parameters;
  return {
    operation,
    writes: /^write|^synchronize$|^import/.test(operation),
    ...(streamName !== undefined && { category: category(streamName) }),
    ...parameters,
  };
}

/** A statement as an operation sends it. */
export interface SentStatement {
  readonly strings: TemplateStringsArray;
  readonly text: string;
  readonly parameters: readonly (string | null)[];
}

/**
 * The first statement of a call, taken instead of sent: what it rejects with is what the operation has
 * against its arguments.
 */
export function statementOf(call: Call<unknown>): Promise<SentStatement> {
  return new Promise((resolve, reject) => {
    const taking: Sql = (strings, ...parameters) => {
      resolve({ strings, text: textOf(strings), parameters });
      return new Promise(() => {});
    };
    call.send(taking).catch((error: Error) => reject(new Refusal(422, error.message)));
  });
}
