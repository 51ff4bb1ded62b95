import type { ConsumerGroup } from "../types.ts";

/**
 * A member's share as parameters; null for all streams.
 *
 * A group of one has all streams. Message DB would leave out those whose name is a category: they have no
 * id, so they belong to no member of any group.
 */
export function shareParameters(
  group: ConsumerGroup | undefined,
): { readonly member: string | null; readonly size: string | null } {
  return group === undefined || group.size === 1
    ? { member: null, size: null }
    : { member: String(group.member), size: String(group.size) };
}
