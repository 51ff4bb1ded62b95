import type { Direction } from "../types.ts";
import { shareNumber } from "./_share.ts";

/**
 * SQL that reads a category from the table, after a step `wanted` with `category`, `position`, `batch_size`,
 * `member` and `size`; backward, with `correlation` too.
 *
 * - The first condition needs `ours`, in whose search path `category` has to run if Postgres calls it.
 * - The conditions on the category are those of `isOfCategory`.
 * - What is wanted comes from a step, and coalesce() is around the rest. Both hide from the planner what is
 *   wanted. Otherwise the planner may expect so few messages that it would fetch and sort all that is left of
 *   the category, for each page.
 * - By a correlation, Message DB's function reads forward three times as fast, because it needs no row of the
 *   table to leave a message out.
 * - A member's share is found as by Message DB's `hash_64` and `cardinal_id`. What is behind the category and its
 *   dash is the id, up to a plus: the length of the category is known, so nothing looks for the dash. A stream
 *   whose name is the category has no id, and belongs to no member.
 */
export function categoryRows(direction: Direction): string {
  const [comparison, order, condition] = direction === "forward"
    ? [">=", "", ""]
    : ["<=", " desc", BY_CORRELATION];
  return `
    select *
    from message_store.messages
    where (select nothing from ours) is not null
      and message_store.category(stream_name) = (select category from wanted)
      and message_store.category(stream_name) >= (select category from wanted)
      and message_store.category(stream_name) <= (select category from wanted)
      and global_position ${comparison} (select position from wanted)
      and coalesce(
        (select size from wanted) is null
        or octet_length(stream_name) > (select octet_length(category) from wanted)
          and mod(${CARDINAL_ID_NUMBER}, (select size from wanted)) = (select member from wanted),
        false
      )${condition}
    order by global_position${order}
    limit (select batch_size from wanted)`;
}

const CARDINAL_ID_NUMBER = /* @__PURE__ */ shareNumber(
  "split_part(substr(stream_name, (select length(category) + 2 from wanted)), '+', 1)",
);

const BY_CORRELATION = `
      and coalesce(
        (select correlation from wanted) is null
        or split_part(metadata ->> 'correlationStreamName', '-', 1) = (select correlation from wanted),
        false
      )`;
