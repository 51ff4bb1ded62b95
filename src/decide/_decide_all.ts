import { storeFor } from "../handle/_store_for.ts";
import { DuplicateMessageError, WrongExpectedVersionError } from "../errors.ts";
import { sqlStateOf } from "../handle/_driver_error.ts";
import { backoff, sleep } from "../lib/wait.ts";
import { safeInteger } from "../messages/_columns.ts";
import { parserOf } from "../messages/_typed.ts";
import type { MessageCatalogue } from "../messages/catalogue.ts";
import { checkInteger, checkName, checkOptions } from "../names/_check.ts";
import type { MessageInput, Sql } from "../types.ts";
import { appendEncoded } from "../write/_append_to_streams.ts";
import { type Command, commandOf, findOutcome } from "./_command.ts";
import type { CommandOutcome } from "./_query_outcome.ts";
import { type Draft, draftOf } from "./_draft.ts";
import { type CheckedEntity, DEFINITION } from "./_checked_entity.ts";
import { type FetchedState, fetchVersion } from "./_fetch_entity.ts";
import type { DecideOptions, Decision } from "./decision.ts";

/** Milliseconds. */
const FIRST_CONFLICT_DELAY = 4;
const LONGEST_CONFLICT_DELAY = 1000;

/** An entity to decide over, and its stream. */
export interface DecidedEntity {
  readonly entity: {
    readonly messages: MessageCatalogue | undefined;
    readonly [DEFINITION]: CheckedEntity;
    fetch(sql: Sql, id: string): Promise<FetchedState>;
  };
  readonly id: string;
  readonly streamName: string;
}

/** A decision over a list of entities. */
export type DecideTogether = (
  states: readonly unknown[],
  versions: readonly number[],
) => Promise<readonly Decision[]>;

/** The entities after a decision, in their order. */
interface AllDecided {
  readonly states: readonly unknown[];
  readonly versions: readonly number[];
  readonly globalPosition: number | null;
}

/** Does the work of `decide`, for a list of entities. */
export async function decideAll(
  sql: Sql,
  participants: readonly DecidedEntity[],
  decision: DecideTogether,
  options: DecideOptions = {},
): Promise<AllDecided> {
  checkOptions(options, { retries: true, commandId: true });
  const { retries = 20, commandId } = options;
  checkInteger("retries", retries, 0);
  if (commandId !== undefined) checkName("commandId", commandId);
  const command = commandId === undefined ? undefined : await commandOf(commandId);
  const streamNames = participants.map(({ streamName }) => streamName);
  const store = storeFor(sql, ...streamNames);
  const find = async () => command && await findOutcome(store, command, streamNames);
  let conflict: unknown;
  for (let attempt = 1;; attempt++) {
    const fetching = participants.map(({ entity, id }) => entity.fetch(store, id));
    const [outcome, ...fetched] = await Promise.all([find(), ...fetching]).catch((error) => {
      // After a conflict, a transaction refuses every statement: then the conflict is the error to throw.
      throw conflict && sqlStateOf(error) === "25P02" ? conflict : error;
    });
    if (outcome) return await decidedBefore(store, participants, outcome, fetched);
    const drafting = draftAll(participants, fetched, decision, command);
    const drafts = await drafting.catch(() => []);
    if (drafts.every(({ messages }) => messages.length === 0)) {
      // The states may have what another call has decided, after the command was looked up.
      const known = await find().catch(async (error) => {
        // What the decision threw says more.
        await drafting;
        throw error;
      });
      if (known) return await decidedBefore(store, participants, known);
      await drafting;
      const versions = fetched.map(({ version }) => version);
      return { states: fetched.map(({ state }) => state), versions, globalPosition: null };
    }
    try {
      const written = await appendEncoded(store, drafts);
      const versions = written.positions.map(safeInteger);
      const globalPositions = written.globalPositions.map(safeInteger);
      const globalPosition = globalPositions.at(-1)!;
      // The messages were in the store already, by their ids.
      if (written.time === null) {
        const known = await find() ?? { versions, globalPosition };
        return await decidedBefore(store, participants, known);
      }
      const states = await statesOf(drafts, globalPositions, written.time);
      return { states, versions, globalPosition };
    } catch (error) {
      // The same command may have been decided otherwise in the meantime.
      const known = error instanceof DuplicateMessageError && await find().catch((other) => {
        if (other instanceof DuplicateMessageError) throw other;
      });
      if (known) return await decidedBefore(store, participants, known);
      // PostgreSQL itself may refuse the write because somebody else has written: at SERIALIZABLE, or in a deadlock.
      const isConflict = error instanceof WrongExpectedVersionError ||
        /^40(001|P01)$/.test(sqlStateOf(error) ?? "");
      if (!isConflict || attempt > retries) throw error;
      conflict = error;
    }
    await sleep(backoff(attempt, FIRST_CONFLICT_DELAY, LONGEST_CONFLICT_DELAY));
  }
}

/** Calls the decision, and makes a draft for each entity. */
async function draftAll(
  participants: readonly DecidedEntity[],
  fetched: readonly FetchedState[],
  decision: DecideTogether,
  command: Command | undefined,
): Promise<Draft[]> {
  const versions = fetched.map(({ version }) => version);
  const decisions = await decision(fetched.map(({ state }) => state), versions);
  let count = 0;
  return await Promise.all(participants.map(({ entity, streamName }, at) => {
    const messages = listOf(decisions[at]);
    const first = count;
    count += messages.length;
    const { fold, snapshots } = entity[DEFINITION];
    const basis = { fold, snapshots, parser: parserOf(entity), streamName, ...fetched[at]! };
    return draftOf(basis, messages, command && ((at) => command.idOf(first + at)));
  }));
}

/** The messages of a decision, as a list. */
export function listOf(decision: Decision): readonly MessageInput[] {
  return [decision ?? []].flat();
}

/** The states after the drafts were written. */
function statesOf(
  drafts: readonly Draft[],
  globalPositions: readonly number[],
  time: number,
): Promise<unknown[]> {
  let written = 0;
  return Promise.all(drafts.map(({ messages, stateAt }) => {
    const first = written;
    written += messages.length;
    return stateAt(globalPositions.slice(first, written), time);
  }));
}

/**
 * Answers what was decided before, with the states of that time.
 *
 * @param fetched The entities, unless a draft was folded into their states: an `evolve` may have changed them.
 */
async function decidedBefore(
  sql: Sql,
  participants: readonly DecidedEntity[],
  { versions, globalPosition }: CommandOutcome,
  fetched: readonly FetchedState[] = [],
): Promise<AllDecided> {
  const states = await Promise.all(participants.map(async ({ entity, streamName }, at) => {
    const known = fetched[at];
    if (known?.version === versions[at]) return known!.state;
    return await fetchVersion(sql, entity[DEFINITION], streamName, versions[at]!);
  }));
  return { states, versions, globalPosition };
}
