import { queryJson } from "../handle/_statement.ts";
import type { Sql } from "../types.ts";
import { FOUND_JSON, foundMessage, MESSAGE_TEXTS, type StoredFound } from "./_find_rows.ts";
import type { FoundMessage } from "./found_message.ts";

/** Reads messages of a store by their ids, with so many characters of data and metadata, in any order. */
export async function readTexts(
  sql: Sql,
  ids: readonly string[],
  textLength: number,
): Promise<FoundMessage[]> {
  const stored = await queryJson<StoredFound[]>(sql, "with", MESSAGES_AS_TEXT)`
  asked as materialized (
    select ${JSON.stringify(ids)}::text::json as ids, ${
    String(textLength)
  }::text::int as text_length
  )`;
  return stored.map(foundMessage);
}

const MESSAGES_AS_TEXT = /* @__PURE__ */ `
select
  coalesce(
    (
      select json_agg(${FOUND_JSON})
      from (
        select
          id, stream_name, type, position, global_position, time,${MESSAGE_TEXTS}
        from (
          select messages.*, text_length, data::text as data_text, metadata::text as metadata_text
          from asked
          cross join lateral (select value::uuid as wanted from json_array_elements_text(ids)) as given
          join message_store.messages on id = wanted
          offset 0
        ) as texts
        offset 0
      ) as message
    )::text,
    '[]'
  ) as json`;
