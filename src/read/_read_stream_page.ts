import { queryJson, SELECT_IN_INDEX_ORDER } from "../handle/_statement.ts";
import { type Columns, columnsJson, messagesOfColumns } from "../messages/_columns.ts";
import type { Message, Sql } from "../types.ts";
import { markParameter, moveMark, type Standing, standingJson } from "./_mark.ts";
import type { Page, WantedPage } from "./_page.ts";
import { STORE } from "./_store_identity.ts";
import { readStream } from "./read_stream.ts";

/** Which page of a stream to read. Positions are the stream's, and the mark's is global. */
export interface StreamQuery extends WantedPage {
  readonly streamName: string;
}

/** Reads a page of a stream, as `readStream` does, and tells whether the store still has the mark. */
export async function readStreamPage(sql: Sql, wanted: StreamQuery): Promise<Page> {
  const { position, mark = null } = wanted;
  const { standing, store, messages } = await readPositions(sql, wanted);
  if (standing === "erased" && mark!.id !== null) {
    // If the end of the stream was deleted, the stream gives these positions again.
    const last = await lastUpTo(sql, wanted.streamName, mark!.position);
    const page = await readStreamPage(sql, {
      ...wanted,
      position: Math.min(position, (last?.position ?? -1) + 1),
      mark: { position: last?.globalPosition ?? mark!.position, id: last?.id ?? null, store },
    });
    return { ...page, isErased: true };
  }
  const last = messages.at(-1);
  return {
    messages,
    next: (last?.position ?? position - 1) + 1,
    atEnd: messages.length < wanted.batchSize,
    mark: moveMark(mark, { standing, store }, last ? [last.globalPosition, last.id] : null),
  };
}

async function readPositions(
  sql: Sql,
  { streamName, position, batchSize, mark }: StreamQuery,
): Promise<Standing & { readonly messages: Message[] }> {
  // The template is the FROM clause of the query that makes the JSON, as in `readCategoryPage`.
  const page = await queryJson<Standing & Columns>(
    sql,
    `${SELECT_IN_INDEX_ORDER}(\n  select ${STREAM_PAGE_JSON} as json\n  from`,
    "\n) as complete",
  )`
    (select ${markParameter(mark)}::text as mark) as given
    left join (
      select message.*
      from
        ours,
        message_store.get_stream_messages(
          ${streamName}::text || ours.nothing, ${String(position)}::text::bigint,
          ${String(batchSize)}::text::bigint
        ) as message
      offset 0
    ) as read on true`;
  return { ...page, messages: messagesOfColumns(page) };
}

const STREAM_PAGE_JSON = /* @__PURE__ */ columnsJson(
  `'"standing":', ${standingJson("max(mark)")}, ',"store":', ${STORE}, ','`,
  "filter (where global_position is not null)",
);

/** The last message of a stream up to a global position; undefined if there is none. */
async function lastUpTo(
  sql: Sql,
  streamName: string,
  globalPosition: number,
): Promise<Message | undefined> {
  let position: number | undefined;
  for (;;) {
    const page = await readStream(sql, streamName, { position, direction: "backward" });
    const last = page.find((message) => message.globalPosition <= globalPosition);
    const first = page.at(-1)?.position ?? 0;
    if (last !== undefined || first === 0) return last;
    position = first - 1;
  }
}
