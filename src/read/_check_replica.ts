import { ReplicaReadError } from "../errors.ts";
import type { Sql } from "../types.ts";
import type { ScannedPage } from "./_read_settled_page.ts";

/**
 * For how long messages may wait on a replica while no record comes, in milliseconds. `settle` writes a
 * record in a third of that time, even if nothing has settled.
 */
export const LONGEST_SILENCE = 30_000;

/** Since when messages wait on a replica behind one record, by `performance.now()`. */
interface Standstill {
  readonly record: string;
  readonly since: number;
}

const standstills = new WeakMap<Sql, Standstill>();

/**
 * Checks that a replica can tell whether a message is missing, and that what the primary has recorded as
 * settled goes on.
 *
 * The time is that of this process, from the first page on that waits behind the record. So a replica that is
 * far behind, and catches up, does not count as one that stands still.
 *
 * @throws {ReplicaReadError} If the replica cannot tell, or stands still.
 */
export function checkReplica(
  sql: Sql,
  { replica, record, gap, isWaiting }: ScannedPage,
): void {
  if (!replica) return;
  if (record === null) {
    if (replica === "standby" && gap === null) return;
    const what = replica === "standby"
      ? `past position ${gap}: it is missing, and a standby cannot tell whether a message will come there`
      : "here: a subscription writes the messages, and not in the order of their positions, " +
        "or is not the only one, or has not finished its first copy";
    throw new ReplicaReadError(
      replica,
      `Cannot read all streams ${what}: run settle(primary), which records what is settled, ` +
        `or read from the primary${
          replica === "standby" ? "" : ", or drop the subscription if this is the primary"
        }`,
    );
  }
  const [, id, settled] = record;
  if (!isWaiting) return;
  const known = standstills.get(sql);
  if (known?.record !== id) {
    return void standstills.set(sql, { record: id, since: performance.now() });
  }
  if (performance.now() - known.since < LONGEST_SILENCE) return;
  throw new ReplicaReadError(
    replica,
    `Cannot read all streams past position ${settled}: messages wait, and nothing was recorded as settled ` +
      `for ${LONGEST_SILENCE / 1000} seconds: see whether settle(primary) runs, ` +
      "and whether the replica receives what the primary writes",
  );
}
