import type { ConsumerIdentity, Verdict } from "../consume/consumer.ts";
import { DEFINITION } from "../decide/_checked_entity.ts";
import type { Decisions, StatesOf, VersionsOf } from "../decide/decide.ts";
import type { Decision } from "../decide/decision.ts";
import type { Entity } from "../decide/entity.ts";
import type { Projection } from "../decide/projection.ts";
import { checkObject } from "../names/_check.ts";
import type { Message, MessageInput } from "../types.ts";
import { whenDecided, whenDecidedTogether } from "./_decisions.ts";
import { reactionOf } from "./_reaction.ts";
import { stateOf } from "./_state.ts";

/** Streams by their names, each with its messages. */
export type GivenStreams = Readonly<Record<string, MessageInput | readonly MessageInput[]>>;

/** An entity, and the messages that it has. */
export type GivenParticipant = readonly [
  entity: Entity<unknown, never>,
  messages: readonly MessageInput[],
];

/** Entities with their messages: by names of your choice, or as a list. */
export type GivenParticipants =
  | Readonly<Record<string, GivenParticipant>>
  | readonly GivenParticipant[];

/** An entity with its messages, before a decision. */
export interface GivenEntity<State, Input extends MessageInput = MessageInput> {
  /**
   * Decides, as the entity's `decide` does.
   *
   * @param decision The decision. It gets the state and its version.
   * @returns What was decided, and the state after it. If the decision throws, this rejects with its error.
   * @throws {InvalidMessageError} If a message does not fit the catalogue, or cannot be folded.
   */
  when(
    decision: (state: State, version: number) => Decision<Input> | Promise<Decision<Input>>,
  ): Promise<Outcome<State, Input>>;
}

/** What came of a decision. */
export interface Outcome<State, Input extends MessageInput = MessageInput> {
  /** The messages that were decided, as the decision made them. */
  readonly messages: readonly Input[];
  /** The state after them. */
  readonly state: State;
}

/** Entities with their messages, before a decision over all of them. */
export interface GivenEntities<Entities extends GivenParticipants> {
  /**
   * Decides over the entities, as `decide` does.
   *
   * @param decision The decision. It gets the states and their versions.
   * @returns What was decided, and the states after it. If the decision throws, this rejects with its error.
   * @throws {InvalidMessageError} If a message does not fit a catalogue, or cannot be folded.
   */
  when(
    decision: (
      states: StatesOf<Entities>,
      versions: VersionsOf<Entities>,
    ) => Decisions<Entities> | Promise<Decisions<Entities>>,
  ): Promise<OutcomeTogether<Entities>>;
}

/** What came of a decision over several entities. */
export interface OutcomeTogether<Entities extends GivenParticipants> {
  /** The messages that were decided for each entity, as the decision made them. */
  readonly messages: {
    readonly [Name in keyof Entities]: Entities[Name] extends
      readonly [Entity<unknown, infer Input>, readonly MessageInput[]] ? readonly Input[] : never;
  };
  /** The state of each entity after that. */
  readonly states: StatesOf<Entities>;
}

/** A projection with the messages that it folds. */
export interface GivenProjection<State> {
  /** Folds the messages, as `project` and `projectCategory` do. */
  state(): Promise<State>;
}

/** A consumer, and what the streams had before. */
export interface GivenConsumer {
  /**
   * Writes messages, and lets the consumer handle them, each in one attempt.
   *
   * @param streams The messages that come, by their streams.
   * @returns What the handlers wrote and answered. If a handler throws, this rejects with its error.
   */
  when(streams: GivenStreams): Promise<Reaction>;
}

/** What the handlers of a consumer did. */
export interface Reaction {
  /** The messages that they wrote, in their order, as they are stored: `parse` of a catalogue parses them. */
  readonly messages: readonly Message[];
  /** The verdict on each message that came; null for a message that was handled, or passed over. */
  readonly verdicts: readonly (Verdict | null)[];
}

/**
 * Begins a test without a database: what there is before a decision, or before a handler is called.
 *
 * A message that a constructor of a catalogue has made is taken as a write would store it. Any other is taken
 * as it is stored: give an old message so, to test its upcasts. What a test compares, and with what, is up to
 * you: this answers values.
 *
 * @example A decision
 * ```ts
 * import { defineMessages, entity } from "@messagedb/client";
 * import { given } from "@messagedb/client/testing";
 * import assert from "node:assert/strict";
 * import * as z from "zod";
 *
 * const messages = defineMessages({
 *   Deposited: z.object({ amount: z.number().positive() }),
 *   Withdrawn: z.object({ amount: z.number().positive() }),
 * });
 * const { Deposited, Withdrawn } = messages;
 * const account = entity({
 *   category: "account",
 *   messages,
 *   init: () => 0,
 *   handlers: {
 *     Deposited: (balance, { data }) => balance + data.amount,
 *     Withdrawn: (balance, { data }) => balance - data.amount,
 *   },
 * });
 * function withdraw(balance: number, amount: number) {
 *   if (balance < amount) throw new Error("There is not enough in the account");
 *   return Withdrawn({ amount });
 * }
 *
 * const rich = given(account, [Deposited({ amount: 11 })]);
 * const { messages: decided, state } = await rich.when((balance) => withdraw(balance, 5));
 * assert.deepEqual(decided, [Withdrawn({ amount: 5 })]);
 * assert.equal(state, 6);
 *
 * await assert.rejects(given(account).when((balance) => withdraw(balance, 5)), /not enough/);
 * ```
 *
 * @typeParam State The state of the entity.
 * @typeParam Input The messages of the entity, as they are written.
 * @param entity The entity.
 * @param messages The messages that it has.
 * @returns `when`, which decides.
 * @throws {TypeError} If the subject is no entity, no entities, no projection and no consumer.
 */
export function given<State, Input extends MessageInput>(
  entity: Entity<State, Input>,
  messages?: readonly MessageInput[],
): GivenEntity<State, Input>;
/**
 * Begins a test of what a consumer's handlers write.
 *
 * The handlers get a handle that has only streams: writes, reads of a stream, and what is made of these, such
 * as `decide`. A handler that sends anything else needs `testStore`.
 *
 * @typeParam Subject The consumer.
 * @param consumer The consumer.
 * @param streams The messages that were there before, by their streams.
 * @returns `when`, which lets the consumer handle messages.
 */
export function given<Subject extends ConsumerIdentity>(
  consumer: Subject,
  streams?: GivenStreams,
): GivenConsumer;
/**
 * Begins a test of a projection.
 *
 * @typeParam State What the messages are folded into.
 * @typeParam Output The messages, as the catalogue reads them.
 * @param projection The projection: what `project` and `projectCategory` take.
 * @param messages The messages of one stream, or of several by their names.
 * @returns `state`, which folds them.
 */
export function given<State, Output extends Message = Message>(
  projection: Projection<State, Output>,
  messages: readonly MessageInput[] | GivenStreams,
): GivenProjection<State>;
/**
 * Begins a test of a decision over several entities.
 *
 * @typeParam Entities The entities: by names of your choice, or as a list.
 * @param entities The entities with their messages: `{ from: [account, [Deposited({ amount: 11 })]], … }`.
 * @returns `when`, which decides.
 */
export function given<const Entities extends GivenParticipants>(
  entities: Entities,
): GivenEntities<Entities>;
export function given(
  subject: object,
  messages: readonly MessageInput[] | GivenStreams = [],
): unknown {
  checkObject(
    "subject",
    subject,
    "an entity, a consumer, a projection, or entities by their names",
  );
  if (DEFINITION in subject) {
    return whenDecided(subject as Entity<unknown>, messages as readonly MessageInput[]);
  }
  if ("consumerId" in subject) return reactionOf(subject as never, messages as GivenStreams);
  if ("init" in subject) return stateOf(subject as Projection<unknown>, messages);
  return whenDecidedTogether(subject as GivenParticipants);
}
