import type { LastMessage } from "../consume/_read_last_messages.ts";

/** The types that a consumer recorded with its position; undefined for all. */
export function typesIn(
  { metadata }: Pick<LastMessage, "metadata">,
): readonly string[] | undefined {
  const types: unknown = metadata?.["types"];
  return Array.isArray(types) && types.length > 0 ? types.map(String) : undefined;
}
