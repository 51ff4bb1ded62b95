import { textOf } from "../handle/_statement_text.ts";
import { answersMessages, rowOf } from "../messages/_columns.ts";
import { encodeMessages } from "../messages/_typed.ts";
import { checkWritableStreamName } from "../names/_check.ts";
import type { Message, MessageInput, Sql } from "../types.ts";
import { add } from "./_memory_answers.ts";
import { recognizeStatement } from "./_memory_statements.ts";

/** Streams by their names, each with its messages. */
export type Streams = Readonly<Record<string, MessageInput | readonly MessageInput[]>>;

/** A store for a test without a database. */
export interface MemoryStore {
  /** Answers what writes to streams and reads of them send, and refuses everything else. */
  readonly sql: Sql;
  /** All messages, as they are stored. */
  readonly messages: readonly Message[];
  /** Adds what was there before the test begins: messages to write, or stored ones. */
  put(streamName: string, messages: MessageInput | readonly MessageInput[]): Promise<void>;
  /** Adds what was there in several streams. */
  putAll(streams: Streams): Promise<void>;
}

export function memoryStore(): MemoryStore {
  const messages: Message[] = [];
  const store: MemoryStore = {
    messages,
    async sql(strings, ...parameters) {
      const recognized = await recognizeStatement(strings, parameters);
      if (recognized === undefined) {
        throw new Error(
          "Cannot do this without a database: a test of given() has only the streams that are read and " +
            'written one by one. testStore() of "@messagedb/client/testing" gives a test a database',
        );
      }
      const answer = recognized.answer(messages, recognized.parameters);
      return answersMessages(textOf(strings))
        ? (answer as Message[]).map(rowOf)
        : [{ json: JSON.stringify(answer) }];
    },
    async put(streamName, given) {
      checkWritableStreamName(streamName);
      const inputs = [given].flat() as MessageInput[];
      // What a constructor has made is encoded. Any other message is taken as it is stored.
      const encoded = await encodeMessages(inputs, streamName, undefined);
      for (const [at, { id, type, data, metadata }] of encoded.entries()) {
        const { time } = inputs[at] as Partial<Message>;
        const message = { id, type, data: JSON.parse(data ?? "null") };
        add(messages, streamName, { ...message, metadata: JSON.parse(metadata ?? "null") }, time);
      }
    },
    async putAll(streams) {
      for (const [name, given] of Object.entries(streams)) await store.put(name, given);
    },
  };
  return store;
}
