import type { EncodedMessage } from "../messages/_json.ts";
import type { EachWrite } from "./_write_each.ts";

/**
 * About how many characters a statement has at most, unless one message alone has more.
 *
 * A gateway takes a megabyte, and a character is up to three bytes.
 */
export const MAX_BATCH_LENGTH = 300_000;

/** About how many characters a write takes in a statement. */
export function lengthOfWrite(
  { streamName, type, data, metadata }: EncodedMessage & Pick<EachWrite, "streamName">,
): number {
  return streamName.length + type.length + (data?.length ?? 4) + (metadata?.length ?? 4);
}
