import { moveMark } from "../read/_mark.ts";
import { readScannedPage } from "../read/_read_settled_page.ts";
import { type Reader, readerOf } from "../subscribe/_reader.ts";
import type { ConsumerGroup, Sql } from "../types.ts";
import type { CheckedConsumer } from "./_checked_consumer.ts";

/** Makes the reader of a consumer, or of a member of its group. */
export function readerFor(
  { sql, readFrom, source, types, correlation, batchSize }: Pick<
    CheckedConsumer,
    "sql" | "readFrom" | "source" | "types" | "correlation" | "batchSize"
  >,
  consumerGroup: ConsumerGroup | undefined,
): Reader {
  const options = { types, correlation, batchSize, consumerGroup };
  const primary = readerOf(sql, source, options);
  return readFrom ? throughReplica(sql, primary, readerOf(readFrom, source, options)) : primary;
}

/**
 * Makes a reader of pages from a replica. The positions of the pages are stored on the primary, and they mean
 * nothing there if the replica has other messages: it may follow the primary that was there before a failover.
 *
 * So one statement looks up two messages on the primary: the last one that was passed before the page, which
 * tells whether the primary went back since, and the last one of the page. The primary has the latter only if
 * it has the history of the replica up to there: all positions that it gives from then on are higher. If one
 * of the two is missing, the page is read from the primary, which tells whether the store went back.
 *
 * The marks are those of the primary. A replica gets none: it may be behind what was passed, or be another
 * one than before.
 */
function throughReplica(sql: Sql, primary: Reader, replica: Reader): Reader {
  return {
    ...primary,
    read: async (place, mark = null, signal) => {
      const page = await replica.read(place, null, signal);
      const last = page.mark ?? null;
      const there = await readScannedPage(sql, {
        position: (last ?? mark)?.position ?? place,
        batchSize: 1,
        pattern: null,
        filter: { types: [] },
        mark,
      }, { settled: 0, mark: null });
      const [position, id] = there.passed ?? [];
      const isThere = last === null || position === last.position && id === last.id;
      if (there.standing !== "kept" || !isThere) return await primary.read(place, mark, signal);
      const isStandby = there.replica === "standby";
      const passed = last && [last.position, last.id] as const;
      return { ...page, isStandby, isErased: false, mark: moveMark(mark, there, passed) };
    },
  };
}
