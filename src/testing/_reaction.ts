import { contextFor } from "../consume/_attempt.ts";
import { verdictIn } from "../consume/_answer.ts";
import { checkConsumer, type CheckedConsumer } from "../consume/_checked_consumer.ts";
import type { Consumer, Verdict } from "../consume/consumer.ts";
import { invalid } from "../lib/invalid.ts";
import { category } from "../names/stream_name.ts";
import type { Message, Sql } from "../types.ts";
import { memoryStore, type Streams } from "./_memory_store.ts";

/** Tests what the handlers of a consumer write, without a database. */
export function reactionOf(consumer: Consumer<Sql>, before: Streams) {
  // The handle is the transaction's and the consumer's: a test has no use for two.
  const plain = { ...consumer, transactional: false, commitInterval: undefined } as Consumer<Sql>;
  return {
    async when(streams: Streams) {
      const store = memoryStore();
      const checked = checkConsumer(store.sql, plain);
      checkStreams(checked, streams);
      await store.putAll(before);
      const first = store.messages.length;
      await store.putAll(streams);
      const coming = store.messages.slice(first);
      const verdicts = await handleAll(checked, coming, store.sql);
      return { messages: store.messages.slice(first + coming.length), verdicts };
    },
  };
}

function checkStreams({ source }: CheckedConsumer, streams: Streams): void {
  if (typeof source !== "string" || source === "$all") return;
  const stranger = Object.keys(streams).find((name) => category(name) !== source);
  if (stranger !== undefined) {
    throw invalid("streams", stranger, `streams of the category "${source}", which it consumes`);
  }
}

async function handleAll(
  consumer: CheckedConsumer,
  messages: readonly Message[],
  sql: Sql,
): Promise<(Verdict | null)[]> {
  const { pageHandler, decode } = consumer;
  const { signal } = new AbortController();
  const wanted = messages.filter((message) => isFor(consumer, message));
  if (pageHandler) {
    const parsed = await Promise.all(wanted.map((message) => decode ? decode(message) : message));
    const page = parsed.filter((message) => message !== undefined);
    const answer = page.length > 0 ? await pageHandler(page, { sql, signal, attempt: 1 }) : null;
    const verdict = verdictIn(answer) ?? null;
    return messages.map((message) => wanted.includes(message) ? verdict : null);
  }
  const verdicts: (Verdict | null)[] = [];
  for (const message of messages) {
    const handler = isFor(consumer, message) ? consumer.handlerOf(message) : undefined;
    const answer = await handler?.(message, contextFor(message, sql, signal, 1));
    verdicts.push(verdictIn(answer, message.type) ?? null);
  }
  return verdicts;
}

/** Whether the consumer reads the message. */
function isFor({ types, correlation }: CheckedConsumer, { type, metadata }: Message): boolean {
  if (types && !types.includes(type)) return false;
  if (correlation === undefined) return true;
  return category(metadata?.correlationStreamName ?? "-") === correlation;
}
