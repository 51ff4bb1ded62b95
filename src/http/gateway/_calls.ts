import { textOf } from "../../handle/_statement_text.ts";
import { category } from "../../names/stream_name.ts";
import type { Sql } from "../../types.ts";
import { Refusal } from "./_problem.ts";
import type { GatewayCall } from "./call.ts";

/** A call of an operation that has not been sent yet. */
export interface Call<Answer> {
  /** What `authorize` is asked: once for each stream that the call touches. */
  readonly toAuthorize: readonly GatewayCall[];
  readonly send: (sql: Sql) => Promise<Answer>;
  /** Whether `send` asks each partition of a store by itself, and puts the answers together. */
  readonly asksEach?: true;
}

/** Describes a call of an operation for `authorize`. */
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
 * Takes the first statement of a call, which does not reach the database. If the operation rejects its
 * arguments, this rejects with a refusal that gives the operation's reason.
 */
export function captureStatement(call: Call<unknown>): Promise<SentStatement> {
  return new Promise((resolve, reject) => {
    const capturing: Sql = (strings, ...parameters) => {
      resolve({ strings, text: textOf(strings), parameters });
      return new Promise(() => {});
    };
    call.send(capturing).catch((error: Error) => reject(new Refusal(422, error.message)));
  });
}
