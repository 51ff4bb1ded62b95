import { invalid } from "../lib/invalid.ts";
import { checkFunction, checkObject } from "../names/_check.ts";
import { streamName } from "../names/stream_name.ts";
import type { Sql } from "../types.ts";
import { DEFINITION } from "./_checked_entity.ts";
import { decideAll, type DecidedEntity } from "./_decide_all.ts";
import type { DecideOptions, Decision } from "./decision.ts";
import type { EntitiesWith } from "./_entities_with.ts";
import type { Entity } from "./entity.ts";

/** An entity: its definition, and its id. */
export type Participant = readonly [entity: Entity<unknown, never>, id: string];

/** Entities: by names of your choice, or as a list. */
export type Participants = Readonly<Record<string, Participant>> | readonly Participant[];

/** The states of the participants: by their names, or as a list. */
export type StatesOf<Entities extends EntitiesWith<unknown>> = {
  readonly [Name in keyof Entities]: Entities[Name] extends
    readonly [Entity<infer State, never>, unknown] ? State : never;
};

/** The versions of the participants: by their names, or as a list. */
export type VersionsOf<Entities extends EntitiesWith<unknown>> = {
  readonly [Name in keyof Entities]: number;
};

/** What to write to each participant. Nothing is written to a participant that is left out. */
export type DecisionsOf<Entities extends EntitiesWith<unknown>> = {
  readonly [Name in keyof Entities]?: Entities[Name] extends
    readonly [Entity<unknown, infer Input>, unknown] ? Decision<Input> : never;
};

/** What a decision over several entities may return. */
export type Decisions<Entities extends EntitiesWith<unknown>> =
  | DecisionsOf<Entities>
  | null
  | undefined
  | void;

/** The result of `decide`. */
export interface DecidedTogether<Entities extends Participants> {
  /** The state of each entity after that. */
  readonly states: StatesOf<Entities>;
  /** The version of each entity, as `Decided` has it. */
  readonly versions: VersionsOf<Entities>;
  /** The global position of the last message that was written, for `waitFor`; null for none. */
  readonly globalPosition: number | null;
}

/**
 * Decides over several entities at once: reads them, calls `decision` with their states, and writes the
 * messages that `decision` returns.
 *
 * If somebody else has written to one of the entities since they were read, nothing is written: all are
 * read again, and `decision` is called again. In a transaction of yours, such a conflict is thrown at
 * once: run the transaction again.
 *
 * One statement writes everything, so the write is atomic without a transaction. The statement also checks
 * the versions of the entities that nothing is written to. A transaction at REPEATABLE READ or SERIALIZABLE
 * does not see what others have written since it began, so there such a check is refused with an error.
 *
 * @example Move money, both accounts or neither
 * ```ts
 * import { decide, entity, type Message } from "@messagedb/client";
 *
 * const account = entity({
 *   category: "account",
 *   init: () => 0,
 *   evolve: (balance, { data }: Message<{ amount: number }>) => balance + data.amount,
 * });
 * await account.decide(sql, "123", () => ({ type: "Moved", data: { amount: 11 } }));
 *
 * await decide(sql, { from: [account, "123"], to: [account, "456"] }, ({ from }) => {
 *   if (from < 5) throw new Error("There is not enough in account 123");
 *   return {
 *     from: { type: "Moved", data: { amount: -5 } },
 *     to: { type: "Moved", data: { amount: 5 } },
 *   };
 * });
 * ```
 *
 * @typeParam Entities The participants: by names of your choice, or as a list.
 * @param sql The handle; inside a transaction, the transaction's.
 * @param participants The entities: `{ from: [account, "123"], to: [account, "456"] }`; or a list of such pairs.
 * @param decision Returns what to write to each participant: by the names, or as a list in the order of the participants. It gets the states and their versions, and may be called more than once.
 * @param options How often to try again after a conflict, and the command that is decided once.
 * @returns The states and versions after that, and the global position of the last message.
 * @throws {WrongExpectedVersionError} If every attempt was a conflict.
 * @throws {InvalidMessageError} If a message does not fit a catalogue, or cannot be folded: nothing is written.
 * @throws {TypeError} If an entity is given twice, an id is empty, `decision` returns a name that is no participant's, JSON cannot hold the data, or a new state is more than JSON and its snapshots have no schema: nothing is written.
 * @throws {DuplicateMessageError} If only some of the messages are in the store already, or if they are in another place, or if the command was decided over other entities.
 * @throws {NotInstalledError} If the database has no Message DB, or the role no right to it.
 * @throws {RangeError} If there is no participant, or `retries` is no integer from 0.
 */
export async function decide<const Entities extends Participants>(
  sql: Sql,
  participants: Entities,
  decision: (
    states: StatesOf<Entities>,
    versions: VersionsOf<Entities>,
  ) => Decisions<Entities> | Promise<Decisions<Entities>>,
  options: DecideOptions = {},
): Promise<DecidedTogether<Entities>> {
  checkFunction("decision", decision);
  const checked = checkParticipants(participants);
  const names = Object.keys(participants);
  const isList = Array.isArray(participants);
  const byName = (values: readonly unknown[]) =>
    isList ? values : Object.fromEntries(names.map((name, at) => [name, values[at]]));
  const { states, versions, globalPosition } = await decideAll(
    sql,
    checked,
    async (states, versions) => {
      const decided = await decision(
        byName(states) as StatesOf<Entities>,
        byName(versions) as VersionsOf<Entities>,
      );
      return checkDecisions(decided ?? {}, names);
    },
    options,
  );
  return {
    states: byName(states) as StatesOf<Entities>,
    versions: byName(versions) as VersionsOf<Entities>,
    globalPosition,
  };
}

/** The decisions in the order of the names. */
function checkDecisions(decided: unknown, names: readonly string[]): Decision[] {
  if (typeof decided !== "object") {
    throw invalid("decision", decided, "what to write to which of the participants");
  }
  const decisions = decided as Readonly<Record<string, Decision>>;
  const stranger = Object.keys(decisions).find((name) => !names.includes(name));
  if (stranger !== undefined) {
    throw invalid("decision", stranger, `by the names of the participants: ${names.join(", ")}`);
  }
  return names.map((name) => Object.hasOwn(decisions, name) ? decisions[name] : undefined);
}

function checkParticipants(participants: Participants): DecidedEntity[] {
  checkObject("participants", participants, "an object: { from: [account, id] }, or a list");
  const checked = Object.entries(participants).map(([name, participant]) => {
    if (!Array.isArray(participant) || participant[0]?.[DEFINITION] === undefined) {
      throw invalid(name, participant, "an entity and an id: [account, id]");
    }
    const [entity, id] = participant as Participant;
    return { entity, id, streamName: streamName(entity.category, id) };
  });
  if (checked.length === 0) throw invalid("participants", participants, "not empty", RangeError);
  const names = checked.map(({ streamName }) => streamName);
  const twice = names.find((it, at) => names.indexOf(it) < at);
  if (twice !== undefined) throw invalid("participants", twice, "there once");
  return checked;
}
