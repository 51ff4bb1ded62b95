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

/**
 * SQL of the number by which a group's members share the ids of streams: that of Message DB's `hash_64`, which takes
 * eight times as long, without its sign. The cast takes the first 64 bits of the hash.
 */
export function shareNumber(id: string): string {
  return `abs(('x' || md5(${id}))::bit(64)::bigint)`;
}
