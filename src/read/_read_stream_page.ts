import {
  headOf,
  lastRow,
  type MessagePage,
  queryMessagePage,
  selectPage,
} from "../messages/_columns.ts";
import type { Message, Sql } from "../types.ts";
import { markParameter, moveMark, type Standing, standingJson } from "./_mark.ts";
import { messagesIn, type Page, type WantedPage } from "./_page.ts";
import { STORE } from "./_store_identity.ts";
import { readStream } from "./read_stream.ts";

/** Which page of a stream to read. Positions are the stream's, and the mark's is global. */
export interface StreamQuery extends WantedPage {
  readonly streamName: string;
  /** Which messages to return; undefined for all. */
  readonly types?: readonly string[] | undefined;
}

/** Reads a page of a stream, as `readStream` does, and tells whether the store still has the mark. */
export async function readStreamPage(sql: Sql, wanted: StreamQuery): Promise<Page> {
  const { position, mark = null, types } = wanted;
  const { rows, extent } = await queryPage(sql, wanted);
  const { standing, store } = extent;
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
  const last = rows.length === 0 ? null : headOf(rows.at(-1)!);
  return {
    ...messagesIn(types ? rows.filter((row) => types.includes(headOf(row).type)) : rows),
    next: last ? last.position + 1 : position,
    atEnd: rows.length < wanted.batchSize,
    mark: moveMark(mark, extent, last && [last.globalPosition, last.id]),
    store,
  };
}

function queryPage(
  sql: Sql,
  { streamName, position, batchSize, mark }: StreamQuery,
): Promise<MessagePage<Standing>> {
  // After the template come the rows. The limit is as in `readStreamRows`.
  return queryMessagePage<Standing>(sql, "with", SELECT_PAGE_AND_STANDING)`
  page as (
    select *
    from message_store.messages
    where stream_name = ${streamName}::text
      and position >= ${String(position)}::text::bigint
    order by position
    limit (select ${String(batchSize)}::text::bigint)
  ),
  given as (
    select ${markParameter(mark)}::text as mark
  )`;
}

const SELECT_PAGE_AND_STANDING = /* @__PURE__ */ selectPageAndStanding();

function selectPageAndStanding(): string {
  const json = `concat('{"standing":', ${standingJson("mark")}, ',"store":', ${STORE}, '}')`;
  return selectPage(lastRow(json, "given"));
}

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
