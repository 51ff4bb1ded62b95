import type { Direction } from "../types.ts";

/**
 * SQL that reads a category from the table, after a step `wanted` with `category`, `position`, `batch_size`,
 * `correlation`, `member` and `size`.
 *
 * - The first condition needs `ours`, in whose search path `category` has to run if Postgres calls it.
 * - The conditions on the category are those of `isOfCategory`.
 * - What is wanted comes from a step, and coalesce() is around the rest. Both hide from the planner what is
 *   wanted. Otherwise the planner may expect so few messages that it would fetch and sort all that is left of
 *   the category, for each page.
 * - By a correlation, Message DB's function reads forward three times as fast, because it needs no row of the
 *   table to leave a message out.
 * - A member's share is found as by Message DB's `hash_64` and `cardinal_id`, which take eight times as long.
 *   A stream whose name is a category has no id, and belongs to no member.
 */
export function categoryRows(direction: Direction): string {
  const [comparison, order] = direction === "forward" ? [">=", ""] : ["<=", " desc"];
  return `
    select *
    from message_store.messages
    where (select nothing from ours) is not null
      and message_store.category(stream_name) = (select category from wanted)
      and message_store.category(stream_name) >= (select category from wanted)
      and message_store.category(stream_name) <= (select category from wanted)
      and global_position ${comparison} (select position from wanted)
      and coalesce(
        (
          (select correlation from wanted) is null
          or split_part(metadata ->> 'correlationStreamName', '-', 1) =
            (select correlation from wanted)
        ) and (
          (select size from wanted) is null
          or strpos(stream_name, '-') > 0
            and mod(
              abs(
                ('x' || left(
                  md5(split_part(substr(stream_name, strpos(stream_name, '-') + 1), '+', 1)), 16
                ))::bit(64)::bigint
              ),
              (select size from wanted)
            ) = (select member from wanted)
        ),
        false
      )
    order by global_position${order}
    limit (select batch_size from wanted)`;
}
