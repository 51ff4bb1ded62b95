import { listOf } from "../decide/_decide_all.ts";
import { decide, type Participant } from "../decide/decide.ts";
import type { Decision } from "../decide/decision.ts";
import type { Entity } from "../decide/entity.ts";
import { invalid } from "../lib/invalid.ts";
import { checkFunction } from "../names/_check.ts";
import { streamName } from "../names/stream_name.ts";
import type { MessageInput } from "../types.ts";
import { memoryStore } from "./_memory_store.ts";

/** An entity, and the messages that it has. */
type WithMessages = readonly [entity: Entity<unknown>, messages: readonly MessageInput[]];

/** Tests a decision over an entity, by its own `decide`, without a database. */
export function whenDecided(entity: Entity<unknown>, messages: readonly MessageInput[]) {
  return {
    async when(decision: (state: unknown, version: number) => Decision | Promise<Decision>) {
      checkFunction("decision", decision);
      const store = memoryStore();
      await store.put(streamName(entity.category, "1"), messages);
      let decided: Decision;
      const { state } = await entity.decide(store.sql, "1", async (state, version) => {
        return decided = await decision(state, version);
      });
      return { messages: listOf(decided), state };
    },
  };
}

/** Tests a decision over several entities, by `decide`, without a database. */
export function whenDecidedTogether(
  entities: Readonly<Record<string, WithMessages>> | readonly WithMessages[],
) {
  return {
    async when(decision: (states: unknown, versions: unknown) => unknown) {
      checkFunction("decision", decision);
      const store = memoryStore();
      const participants: [name: string, participant: Participant][] = [];
      for (const [name, given] of Object.entries(entities)) {
        if (!Array.isArray(given) || !Array.isArray(given[1])) {
          throw invalid(name, given, "an entity and its messages: [account, [Deposited({ … })]]");
        }
        const [entity, messages] = given as WithMessages;
        // Of one category, each has an id of its own.
        const id = String(participants.length + 1);
        await store.put(streamName(entity.category, id), messages);
        participants.push([name, [entity, id]]);
      }
      const byName = <Value>(values: [name: string, value: Value][]) =>
        Array.isArray(entities) ? values.map(([, value]) => value) : Object.fromEntries(values);
      let decided: Readonly<Record<string, Decision>> = {};
      const { states } = await decide(
        store.sql,
        byName(participants) as Readonly<Record<string, Participant>>,
        async (states, versions) => {
          decided = await decision(states, versions) as typeof decided ?? {};
          return decided as never;
        },
      );
      const messages = participants.map(([name]) =>
        [name, listOf(decided[name])] as [string, unknown]
      );
      return { messages: byName(messages), states };
    },
  };
}
