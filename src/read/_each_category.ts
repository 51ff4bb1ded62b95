/**
 * SQL that goes from one category to the next by the index of categories, and so costs by their number.
 *
 * It begins only after `ours` has set the search path, in which Message DB's `category` has to run.
 *
 * @param condition SQL that says whether to look for categories at all.
 */
export function eachCategory(condition = "true"): string {
  return `
    with recursive found as (
      select min(message_store.category(stream_name)) as category
      from message_store.messages
      where (select nothing from ours) is not null
        and ${condition}
      union all
      select (
        select min(message_store.category(stream_name))
        from message_store.messages
        where message_store.category(stream_name) > found.category
      )
      from found
      where found.category is not null
    )
    select category from found where category is not null`;
}
