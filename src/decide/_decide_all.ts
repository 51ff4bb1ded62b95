import { WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import { backoff, sleep } from "../lib/wait.ts";
import { safeInteger } from "../messages/_columns.ts";
import { parserOf, toStored } from "../messages/_typed.ts";
import type { MessageCatalogue } from "../messages/catalogue.ts";
import { checkInteger, checkOptions } from "../names/_check.ts";
import type { MessageInput, Sql } from "../types.ts";
import { appendToStreams } from "../write/_append_to_streams.ts";
import type { DecideOptions, Decision } from "./decision.ts";

/** Milliseconds. */
const FIRST_CONFLICT_DELAY = 4;
const LONGEST_CONFLICT_DELAY = 1000;

/** An entity to decide over, and its stream. */
export interface DecidedEntity {
  readonly entity: {
    readonly messages: MessageCatalogue | undefined;
    fetch(sql: Sql, id: string): Promise<{ readonly state: unknown; readonly version: number }>;
  };
  readonly id: string;
  readonly streamName: string;
}

/** Does the work of `decide`, for a list of entities. */
export async function decideAll(
  sql: Sql,
  participants: readonly DecidedEntity[],
  decision: (states: readonly unknown[], versions: readonly number[]) => Promise<Decision[]>,
  options: DecideOptions = {},
): Promise<{ readonly versions: readonly number[]; readonly globalPosition: number | null }> {
  checkOptions(options);
  const { retries = 20 } = options;
  checkInteger("retries", retries, 0);
  let conflict: unknown;
  for (let attempt = 1;; attempt++) {
    const fetching = participants.map(({ entity, id }) => entity.fetch(sql, id));
    const fetched = await Promise.all(fetching).catch((error) => {
      // After a conflict, a transaction refuses every statement: then the conflict is the error to throw.
      throw conflict && sqlStateOf(error) === "25P02" ? conflict : error;
    });
    const versions = fetched.map(({ version }) => version);
    const decisions = await decision(fetched.map(({ state }) => state), versions);
    const streams = await Promise.all(participants.map(async ({ entity, streamName }, at) => ({
      streamName,
      messages: await toStored(listOf(decisions[at]), streamName, parserOf(entity)),
      expectedVersion: versions[at],
    })));
    if (streams.every(({ messages }) => messages.length === 0)) {
      return { versions, globalPosition: null };
    }
    try {
      const { positions, globalPosition } = await appendToStreams(sql, streams);
      return { versions: positions.map(safeInteger), globalPosition: safeInteger(globalPosition) };
    } catch (error) {
      // At SERIALIZABLE, PostgreSQL itself may refuse the write because somebody else has written.
      const isConflict = error instanceof WrongExpectedVersionError ||
        sqlStateOf(error) === "40001";
      if (!isConflict || attempt > retries) throw error;
      conflict = error;
    }
    await sleep(backoff(attempt, FIRST_CONFLICT_DELAY, LONGEST_CONFLICT_DELAY));
  }
}

function listOf(decision: Decision): readonly MessageInput[] {
  return [decision ?? []].flat();
}
