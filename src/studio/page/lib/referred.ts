import type { ListedMessage } from "../../_api.ts";
import { call, type CallOptions } from "./call.ts";

/** A message of a table; of a reference, with the message that it refers to. */
export interface TableMessage extends ListedMessage {
  readonly referred?: ListedMessage;
}

/** So many references are looked up at once at most. */
const MOST = 500;

/**
 * Adds to the references of an aggregate, or of one of its streams, the messages that they refer to. Where that is not
 * allowed, the links in their metadata have to do.
 */
export async function withReferred(
  { source, types }: { readonly source: string; readonly types?: readonly string[] },
  messages: readonly ListedMessage[],
  options: CallOptions & { readonly signal: AbortSignal },
): Promise<readonly TableMessage[]> {
  const references = messages.filter(({ kind }) => kind === "reference");
  if (source === "$all" || references.length === 0) return messages;
  const [, name = source, partition] = /^([^-]*)-(.*)$/s.exec(source) ?? [];
  const places = references.map((it) => partition === undefined ? it.globalPosition : it.position);
  const position = Math.min(...places);
  // Between references of some types there are others.
  const count = types !== undefined
    ? MOST
    : partition === undefined
    ? references.length
    : Math.max(...places) - position + 1;
  const args = { name, position, batchSize: Math.min(count, MOST) };
  try {
    const found = await call("readAggregate", partition ? { ...args, partition } : args, options);
    const byPlace = new Map(found.map((it) => [it.reference.globalPosition, it]));
    return messages.map((it) => {
      const referred = byPlace.get(it.globalPosition);
      return referred === undefined ? it : { ...it, referred };
    });
  } catch {
    options.signal.throwIfAborted();
    return messages;
  }
}
