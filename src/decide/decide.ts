import { invalid } from "../lib/invalid.ts";
import { checkFunction } from "../names/_check.ts";
import { streamName } from "../names/stream_name.ts";
import type { Sql } from "../types.ts";
import { decideAll, type DecidedEntity } from "./_decide_all.ts";
import type { DecideOptions, Decision } from "./decision.ts";
import type { Entity } from "./entity.ts";

/** An entity: what it is, and its id. */
export type Participant = readonly [entity: Entity<unknown, never>, id: string];

/** Entities by names of yours, or a list of them. */
export type Participants = Readonly<Record<string, Participant>> | readonly Participant[];

/** The states of participants: by their names, or a list. */
export type StatesOf<Entities extends Participants> = {
  readonly [Name in keyof Entities]: Entities[Name] extends
    readonly [Entity<infer State, never>, string] ? State : never;
};

/** The versions of participants: by their names, or a list. */
export type VersionsOf<Entities extends Participants> = {
  readonly [Name in keyof Entities]: number;
};

/** What to write to which of the participants; left out is none. */
export type DecisionsOf<Entities extends Participants> = {
  readonly [Name in keyof Entities]?: Entities[Name] extends
    readonly [Entity<unknown, infer Input>, string] ? Decision<Input> : never;
};

type Decisions<Entities extends Participants> = DecisionsOf<Entities> | null | undefined | void;

/** What `decide` has done. */
export interface DecidedTogether<Entities extends Participants> {
  /** The version of each entity, as an entity's `decide` answers it. */
  readonly versions: VersionsOf<Entities>;
  /** The global position of the last message that was written: what `waitFor` takes; null for none. */
  readonly globalPosition: number | null;
}

/**
 * Decides over several entities at once: reads them, asks what is to be written to which, and writes all
 * of it if every one of them is still what was read, and none of it otherwise; then it reads again and
 * asks again.
 *
 * One statement writes, so it is atomic without a transaction. An entity that nothing is written to is
 * checked too; a transaction that does not see what others have written since, under REPEATABLE READ or
 * SERIALIZABLE, cannot do that, and is refused. In a transaction of yours, a conflict is thrown at once:
 * run the transaction again.
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
 * @typeParam Entities The participants, by names of yours, or a list.
 * @param sql The handle; inside a transaction, the transaction's.
 * @param participants The entities: `{ from: [account, "123"], to: [account, "456"] }`; or a list of such pairs.
 * @param decision Tells by the states, and their versions, what to write to which: by the names, or as a list in the order of the participants. May be asked more than once.
 * @param options How often to ask.
 * @returns The versions after that, and where the last message is.
 * @throws {WrongExpectedVersionError} If somebody else was faster, every time.
 * @throws {InvalidMessageError} If a message does not fit a catalogue.
 * @throws {TypeError} If an entity is there twice, an id is empty, something is decided about none of them, or JSON cannot hold the data.
 * @throws {DuplicateMessageError} If some of the messages are in the store, or are there in another place.
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
  const parts = checkParticipants(participants);
  const names = Object.keys(participants);
  const isList = Array.isArray(participants);
  const named = (values: readonly unknown[]) =>
    isList ? values : Object.fromEntries(names.map((name, at) => [name, values[at]]));
  const { versions, globalPosition } = await decideAll(
    sql,
    parts,
    async (states, versions) => {
      const decided = await decision(
        named(states) as StatesOf<Entities>,
        named(versions) as VersionsOf<Entities>,
      ) as Readonly<Record<string, Decision>> | null | undefined;
      if (decided != null && typeof decided !== "object") {
        throw invalid("decision", decided, "what to write to which of the participants");
      }
      const stranger = Object.keys(decided ?? {}).find((name) => !names.includes(name));
      if (stranger !== undefined) {
        throw invalid(
          "decision",
          stranger,
          `by the names of the participants: ${names.join(", ")}`,
        );
      }
      return names.map((name) =>
        decided && Object.hasOwn(decided, name) ? decided[name] : undefined
      );
    },
    options,
  );
  return { versions: named(versions) as VersionsOf<Entities>, globalPosition };
}

function checkParticipants(participants: Participants): DecidedEntity[] {
  if (typeof participants !== "object" || participants === null) {
    throw invalid("participants", participants, "an object: { from: [account, id] }, or a list");
  }
  const checked = Object.entries(participants).map(([name, participant]) => {
    if (!Array.isArray(participant) || typeof participant[0]?.fetch !== "function") {
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
