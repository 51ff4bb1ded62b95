import { project, projectCategory } from "../decide/project.ts";
import type { Projection } from "../decide/projection.ts";
import { invalid } from "../lib/invalid.ts";
import { category } from "../names/stream_name.ts";
import type { MessageInput } from "../types.ts";
import { memoryStore, type Streams } from "./_memory_store.ts";

/** Tests a projection without a database, by `project` or `projectCategory`. */
export function stateOf(
  projection: Projection<unknown>,
  messages: readonly MessageInput[] | Streams,
) {
  return {
    async state() {
      const store = memoryStore();
      if (Array.isArray(messages)) {
        await store.put("stream-1", messages);
        return (await project(store.sql, "stream-1", projection)).state;
      }
      const streams = messages as Streams;
      await store.putAll(streams);
      const [first = "stream", ...others] = Object.keys(streams).map(category);
      const stranger = others.find((it) => it !== first);
      if (stranger) throw invalid("streams", stranger, `streams of one category, as "${first}"`);
      return (await projectCategory(store.sql, first, projection)).state;
    },
  };
}
