import { storeFor } from "../handle/_store_for.ts";
import { ownOf } from "../handle/_statement.ts";
import { SETTLED_STREAM } from "../names/_own_streams.ts";
import { queryNamedStore } from "../read/_store_identity.ts";
import type { Sql } from "../types.ts";

/** What is watched: a kind of source, and its name, which is empty for all messages. */
export type Watched = readonly [kind: "all" | "category" | "aggregate" | "stream", name: string];

/** All messages. */
export const ALL: Watched = ["all", ""];

/** What is watched on a replica in place of all messages: the records up to which it can read. */
export const RECORDS: Watched = ["stream", SETTLED_STREAM];

/** The last message of a source: its position in the stream, else its global position, and its id. */
export type Head = readonly [position: number, id: string];

/** What is new in the store. */
export interface News {
  /** Names what the statement has seen: as long as it is the same, nothing was committed. */
  readonly state: string;
  /** As in `Standing`. */
  readonly store: string;
  /** The highest global position. */
  readonly last: number;
  /** The heads of the sources, null where there is no message; null as a whole if the state is the same. */
  readonly heads: readonly (Head | null)[] | null;
}

/**
 * Asks for the heads of sources.
 *
 * A global position tells nothing about what is new: 147 of one category may be committed after 148 of another.
 * So each source is asked for its own head. A category's messages are committed in the order of their
 * positions, under Message DB's lock.
 *
 * @param state The state of an answer. If no transaction has ended since, no head is looked for.
 */
export async function readHeads(
  sql: Sql,
  sources: readonly Watched[],
  state: string | null,
): Promise<News> {
  const storeOf = ownOf(sql)?.partitions && ((source: Watched) => storeFor(sql, nameOf(source)));
  return storeOf
    ? await readHeadsOfStores(sources, storeOf, state)
    : await queryHeads(sql, sources, state);
}

/** Reads the name of the store that has a stream: see `STORE_NAME`. */
export async function nameOfStore(sql: Sql, streamName: string): Promise<string> {
  const { store } = await readHeads(storeFor(sql, streamName), [["stream", streamName]], null);
  return store;
}

/** The name of a source, as operations take it. */
function nameOf([kind, name]: Watched): string {
  return kind === "all" ? "$all" : name;
}

/** Asks each store for the heads of its sources. The states and the names of the stores are lists, as JSON. */
async function readHeadsOfStores(
  sources: readonly Watched[],
  storeOf: (source: Watched) => Sql,
  state: string | null,
): Promise<News> {
  const stores = [...new Set(sources.map(storeOf))];
  if (stores.length === 1) return await queryHeads(stores[0]!, sources, state);
  const states = state === null ? [] : JSON.parse(state) as string[];
  const news = await Promise.all(stores.map((store, at) =>
    queryHeads(
      store,
      sources.filter((it) => storeOf(it) === store),
      states.length === stores.length ? states[at]! : null,
    )
  ));
  const isSame = news.every(({ heads }) => heads === null);
  if (!isSame && news.some(({ heads }) => heads === null)) {
    return await readHeadsOfStores(sources, storeOf, null);
  }
  const left = new Map(stores.map((store, at) => [store, [...news[at]!.heads ?? []]]));
  return {
    state: JSON.stringify(news.map(({ state }) => state)),
    store: JSON.stringify(news.map(({ store }) => store)),
    last: Math.max(...news.map(({ last }) => last)),
    heads: isSame ? null : sources.map((source) => left.get(storeOf(source))!.shift() ?? null),
  };
}

async function queryHeads(
  sql: Sql,
  sources: readonly Watched[],
  state: string | null,
): Promise<News> {
  // The last entry of the index of categories up to a name is the head of that category, or of the one before
  // it. By `category(stream_name) = name` PostgreSQL might go back through the messages of all categories.
  // A snapshot does not tell what its own transaction has written since, and on a standby not which transactions
  // are open. So after a write, and on a standby, each state is new.
  return await queryNamedStore<News>(sql)`
  own as (
    select
      case
        when txid_current_if_assigned() is not null or pg_is_in_recovery()
          then clock_timestamp()::text
      end as change
  ),
  now as materialized (
    select
      md5(concat_ws(' ', txid_current_snapshot()::text, own.change, store.name)) as state
    from store, own
  ),
  asked as (
    select number, source ->> 0 as kind, source ->> 1 as name
    from json_array_elements(${JSON.stringify(sources)}::text::json)
      with ordinality as asked (source, number)
  ),
  answer as materialized (
    select
      json_build_object(
        'state', now.state,
        'store', store.name,
        'last', coalesce((select max(global_position) from message_store.messages), 0),
        'heads', case
          when now.state = ${state}::text then null
          else (
            select json_agg(
              case
                when in_all.id is not null
                  then json_build_array(in_all.global_position, in_all.id)
                when in_stream.id is not null
                  then json_build_array(in_stream.position, in_stream.id)
                when split_part(in_category.stream_name, '-', 1) = asked.name
                  then json_build_array(in_category.global_position, in_category.id)
              end
              order by asked.number
            )
            from asked
            left join lateral (
              select messages.global_position, messages.id
              from message_store.messages
              where asked.kind = 'all'
              order by messages.global_position desc
              limit 1
            ) as in_all on true
            left join lateral (
              select messages.position, messages.id
              from message_store.messages
              where asked.kind = 'stream'
                and messages.stream_name = asked.name
              order by messages.position desc
              limit 1
            ) as in_stream on true
            left join lateral (
              select messages.stream_name, messages.global_position, messages.id
              from message_store.messages
              where (select nothing from ours) is not null
                and (asked.kind = 'category' or asked.kind = 'aggregate')
                and message_store.category(messages.stream_name) <= asked.name
              order by
                message_store.category(messages.stream_name) desc,
                messages.global_position desc
              limit 1
            ) as in_category on true
          )
        end
      )::text as json
    from now, store
  )`;
}
