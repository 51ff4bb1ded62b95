/**
 * For tests: decisions, projections and handlers without a database, and a database of a test's own.
 *
 * @example A database for a test
 * ```ts
 * import { readStream, write } from "@messagedb/client";
 * import { testStore } from "@messagedb/client/testing";
 *
 * await using store = await testStore();
 * await write(store.sql, "account-123", { type: "Opened" });
 * (await readStream(store.sql, "account-123")).length; // 1
 * ```
 *
 * @module
 */

// Without a database
export {
  given,
  type GivenConsumer,
  type GivenEntities,
  type GivenEntity,
  type GivenParticipant,
  type GivenParticipants,
  type GivenProjection,
  type GivenStreams,
  type Outcome,
  type OutcomeTogether,
  type Reaction,
} from "./given.ts";

// With a database
export { type TestStore, testStore, type TestStoreOptions } from "./test_store.ts";

// What these take and return, from the core
export type { ConsumerIdentity, GroupMembership, Verdict } from "../consume/consumer.ts";
export type { Decisions, DecisionsOf, StatesOf, VersionsOf } from "../decide/decide.ts";
export type { Decided, DecideOptions, Decision } from "../decide/decision.ts";
export type { Entity, Fetched } from "../decide/entity.ts";
export type { Evolve, Evolvers, Projection } from "../decide/projection.ts";
export type { MessageCatalogue } from "../messages/catalogue.ts";
export type { Message, MessageInput, Metadata, Rows, Sql } from "../types.ts";
