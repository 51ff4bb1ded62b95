import { parserOf, toStored } from "./_catalogue.ts";
import { checkFunction, checkInteger, checkOptions, invalid } from "./_check.ts";
import { sqlStateOf } from "./_error.ts";
import { safe } from "./_message.ts";
import { backoff, sleep } from "./_wait.ts";
import type { Entity } from "./entity.ts";
import { WrongExpectedVersionError } from "./errors.ts";
import { streamName } from "./stream_name.ts";
import type { MessageInput, Sql } from "./types.ts";
import { appendToStreams } from "./write_streams.ts";

/** Milliseconds. */
const FIRST_DELAY = 4;
const LONGEST_DELAY = 1000;

/** What to write to an entity: a message, several, or none. */
export type Decision<Input extends MessageInput = MessageInput> =
  | Input
  | readonly Input[]
  | null
  | undefined
  | void;

/** Options of `decide`. */
export interface DecideOptions {
  /**
   * How often to read and ask again at most, where somebody else has written meanwhile, from 0. Each time
   * it waits longer, from 4 ms to a second.
   *
   * @default 20
   */
  readonly retries?: number | undefined;
}

/** What an entity's `decide` has done. */
export interface Decided {
  /**
   * The position of the last message that was written, or that was there by its id; where nothing was to
   * be written, of the entity's last message, `NO_STREAM` (-1) for none.
   */
  readonly version: number;
  /** The global position of the last message that was written: what `waitFor` takes; null for none. */
  readonly globalPosition: number | null;
}

/** Entities by names of yours. */
export type Participants = Readonly<
  Record<string, readonly [entity: Entity<unknown, never>, id: string]>
>;

/** The states of participants. */
export type StatesOf<Entities extends Participants> = {
  readonly [Name in keyof Entities]: Entities[Name][0] extends Entity<infer State, never> ? State
    : never;
};

/** What to write to which of the participants; left out is none. */
export type DecisionsOf<Entities extends Participants> = {
  readonly [Name in keyof Entities]?: Entities[Name][0] extends Entity<unknown, infer Input>
    ? Decision<Input>
    : never;
};

/** What `decide` has done. */
export interface DecidedTogether<Names extends PropertyKey> {
  /** The version of each entity, as an entity's `decide` answers it. */
  readonly versions: Readonly<Record<Names, number>>;
  /** The global position of the last message that was written: what `waitFor` takes; null for none. */
  readonly globalPosition: number | null;
}

/**
 * Decides over several entities at once: reads them, asks what is to be written to which, and writes all
 * of it if every one of them is still what was read, and none of it otherwise; then it reads again and
 * asks again.
 *
 * One statement writes, so it is atomic without a transaction. An entity that nothing is written to is
 * checked too; not so under REPEATABLE READ, which does not see what others have written since, and where
 * SERIALIZABLE takes its place. In a transaction of yours, a conflict is thrown at once: run the
 * transaction again.
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
 * @typeParam Entities The participants, by names of yours.
 * @param sql The handle; inside a transaction, the transaction's.
 * @param participants The entities: `{ from: [account, "123"], to: [account, "456"] }`.
 * @param decision Tells by the states, and their versions, what to write to which. May be asked more than once.
 * @param options How often to ask.
 * @returns The versions after that, and where the last message is.
 * @throws {WrongExpectedVersionError} If somebody else was faster, every time.
 * @throws {InvalidMessageError} If a message does not fit a catalogue.
 * @throws {TypeError} If an entity is there twice, an id is empty, something is decided about none of them, or JSON cannot hold the data.
 * @throws {RangeError} If `retries` is no integer from 0.
 */
export async function decide<const Entities extends Participants>(
  sql: Sql,
  participants: Entities,
  decision: (
    states: StatesOf<Entities>,
    versions: Readonly<Record<keyof Entities, number>>,
  ) => DecisionsOf<Entities> | Promise<DecisionsOf<Entities>>,
  options: DecideOptions = {},
): Promise<DecidedTogether<keyof Entities>> {
  checkFunction("decision", decision);
  const names = Object.keys(participants ?? {}) as (keyof Entities & string)[];
  const parts = checkParticipants(participants);
  const named = <T>(values: readonly T[]) =>
    Object.fromEntries(names.map((name, at) => [name, values[at]!])) as Record<keyof Entities, T>;
  const { versions, globalPosition } = await decideAll(
    sql,
    parts,
    async (states, versions) => {
      const decided = await decision(named(states) as StatesOf<Entities>, named(versions));
      const stranger = Object.keys(decided ?? {}).find((name) => !names.includes(name));
      if (stranger !== undefined) {
        throw invalid(
          "decision",
          stranger,
          `by the names of the participants: ${names.join(", ")}`,
        );
      }
      return names.map((name) => decided?.[name] as Decision);
    },
    options,
  );
  return { versions: named(versions), globalPosition };
}

/** An entity that is decided over. */
interface Participant {
  readonly entity: Entity<unknown, never>;
  readonly id: string;
  readonly streamName: string;
}

/** As `decide`, of a list. */
export async function decideAll(
  sql: Sql,
  participants: readonly Participant[],
  decision: (states: readonly unknown[], versions: readonly number[]) => Promise<Decision[]>,
  options: DecideOptions = {},
): Promise<{ readonly versions: readonly number[]; readonly globalPosition: number | null }> {
  checkOptions(options);
  const { retries = 20 } = options;
  checkInteger("retries", retries, 0);
  let conflict: WrongExpectedVersionError | undefined;
  for (let attempt = 1;; attempt++) {
    let fetched;
    try {
      fetched = await Promise.all(participants.map(({ entity, id }) => entity.fetch(sql, id)));
    } catch (error) {
      // A transaction takes no more statements after a conflict, which is what there is to tell.
      throw conflict && sqlStateOf(error) === "25P02" ? conflict : error;
    }
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
      return { versions: positions.map(safe), globalPosition: safe(globalPosition) };
    } catch (error) {
      if (!(error instanceof WrongExpectedVersionError) || attempt > retries) throw error;
      conflict = error;
    }
    await sleep(backoff(attempt, FIRST_DELAY, LONGEST_DELAY));
  }
}

function checkParticipants(participants: Participants): Participant[] {
  if (typeof participants !== "object" || participants === null) {
    throw invalid("participants", participants, "an object: { from: [account, id] }");
  }
  const checked = Object.entries(participants).map(([name, participant]) => {
    if (!Array.isArray(participant) || typeof participant[0]?.fetch !== "function") {
      throw invalid(name, participant, "an entity and an id: [account, id]");
    }
    const [entity, id] = participant as Participants[string];
    return { entity, id, streamName: streamName(entity.category, id) };
  });
  const names = checked.map(({ streamName }) => streamName);
  const twice = names.find((it, at) => names.indexOf(it) < at);
  if (twice !== undefined) throw invalid("participants", twice, "there once");
  return checked;
}

function listOf(decision: Decision): readonly MessageInput[] {
  return Array.isArray(decision) ? decision : decision ? [decision as MessageInput] : [];
}
