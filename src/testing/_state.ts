import { type Folded, foldOf, foldPage } from "../decide/_fold.ts";
import type { Projection } from "../decide/projection.ts";
import type { MessageInput } from "../types.ts";
import { memoryStore } from "./_memory_store.ts";
import { type Streams } from "./_memory_store.ts";

/** Tests a projection without a database. */
export function stateOf(
  projection: Projection<unknown>,
  messages: readonly MessageInput[] | Streams,
) {
  const fold = foldOf(projection);
  return {
    async state() {
      const store = memoryStore();
      await store.putAll(Array.isArray(messages) ? { "stream-1": messages } : messages as Streams);
      const folded: Folded = { state: projection.init(), last: undefined };
      await foldPage(fold, folded, store.messages);
      return folded.state;
    },
  };
}
