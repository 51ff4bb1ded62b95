import { queryJson } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";

/** What was written for a command. */
export interface CommandOutcome {
  /** The position that each stream had after the command, in the order of the streams. */
  readonly versions: readonly number[];
  /** The global position of the command's last message. */
  readonly globalPosition: number;
}

interface OutcomeAnswer extends CommandOutcome {
  /** Whether a message of the command is in another stream. */
  readonly isElsewhere: boolean;
}

/** Finds the messages whose ids begin so, and where the streams were after the last of them. */
export function queryOutcome(
  sql: Sql,
  idPrefix: string,
  streamNames: readonly string[],
): Promise<OutcomeAnswer | null> {
  // The command was written under the locks of all categories. So until its last message, each stream has
  // what it had when the command was decided, and what the command wrote.
  return queryJson<OutcomeAnswer | null>(sql)`
  with
  known as materialized (
    select stream_name, global_position
    from message_store.messages
    where id >= (${idPrefix}::text || '0000')::uuid and id <= (${idPrefix}::text || 'ffff')::uuid
    order by id
    limit 65536
  ),
  asked as materialized (
    select name, number
    from json_array_elements_text(
      ${JSON.stringify(streamNames)}::text::json
    ) with ordinality as asked (name, number)
  ),
  at_the_end as materialized (
    select max(global_position) as global_position from known
  )
  select
    case
      when global_position is null then 'null'
      else json_build_object(
        'globalPosition', global_position,
        'isElsewhere', exists (
          select from known where not exists (select from asked where name = stream_name)
        ),
        'versions', (
          select
            json_agg(coalesce((
              select position
              from message_store.messages
              where stream_name = name and messages.global_position <= at_the_end.global_position
              order by position desc
              limit 1
            ), -1) order by number)
          from asked
        )
      )::text
    end as json
  from at_the_end`;
}
