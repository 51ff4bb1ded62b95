/** Which messages to search for times. */
export interface TimeScope {
  /** The column of the positions. */
  readonly place: "global_position" | "position";
  /** SQL of the condition on the messages. */
  readonly condition: string;
}

/**
 * SQL of steps that find, for each row of `wanted_time (name, time)`, the position of the first message that was
 * written then or later: `found_time (name, place)`. For a time after all messages it is the position after the last.
 *
 * The search halves the range of positions again and again, and looks at one message each time, by the index: 20
 * messages of a million. It takes for granted that times rise with the positions. They nearly do: the time of a message
 * is that of the beginning of its transaction.
 */
export function timeSearch({ place, condition }: TimeScope): string {
  const first = place === "position" ? 0 : 1;
  return `
  edge as materialized (
    select coalesce(max(${place}) + 1, ${first}) as high
    from (
      select ${place}
      from message_store.messages
      where ${condition}
      order by ${place} desc
      limit 1
    ) as last
  ),
  found_time as materialized (
    with recursive search as (
      select name, wanted_time.time, ${first}::bigint as low, high
      from wanted_time, edge
      union all
      select
        name, search.time,
        case when probe.time < search.time then probe.place + 1 else low end,
        case when probe.time < search.time then high else (low + high) >> 1 end
      from search
      left join lateral (
        select time, ${place} as place
        from message_store.messages
        where ${condition}
          and ${place} >= ((search.low + search.high) >> 1)
        order by ${place}
        limit 1
      ) as probe on true
      where low < high
    )
    select name, low as place
    from search
    where low >= high
  )`;
}
