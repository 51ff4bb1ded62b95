import type { FoundMessage } from "../operate/found_message.ts";
import { isOwnMessage } from "../names/_own_streams.ts";
import { category as categoryOf, types as typesOf } from "../names/stream_name.ts";
import type { ListedMessage, MessageKind } from "./_api.ts";
import { OWN_KINDS } from "./_own_kinds.ts";

/** A message as a list shows it, on its way to JSON. */
export type Listed = Omit<ListedMessage, "time"> & { readonly time: Date | null };

/** Adds to a message what it is. */
export function listed(message: FoundMessage): Listed {
  return { ...message, kind: kindAmong(message) };
}

function kindAmong(message: FoundMessage): MessageKind {
  const { streamName, metadata } = message;
  const types = typesOf(categoryOf(streamName));
  const own = OWN_KINDS.find((it) => types.includes(it));
  if (own !== undefined && isOwn(message)) return own;
  const referring = parsedOrNull(metadata)?.["referringAggregate"];
  if (referring !== undefined && referring === categoryOf(streamName)) return "reference";
  return types.includes("command") ? "command" : "message";
}

/** Data that are cut cannot be looked at: the names of the stream and of the type have to do then. */
function isOwn(message: FoundMessage): boolean {
  if (message.isCut) return /^(Recorded(:.*)?|Parked)$/s.test(message.type);
  return isOwnMessage({
    ...message,
    data: parsedOrNull(message.data),
    metadata: null,
    time: message.time ?? new Date(0),
  });
}

function parsedOrNull(json: string | null): Record<string, unknown> | null {
  if (json === null) return null;
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
