import type { MessageInput } from "../types.ts";

/**
 * What a codec's `decode` answers for data that nobody can have any more, because its key is deleted.
 *
 * A read gives a `ForgottenMessage` in place of the message. Upcasts and the schema are not asked.
 * Handlers by type, projections and entities pass over it.
 *
 * @example A key for each stream: delete it, and what is known of that person is forgotten
 * ```ts
 * import { defineMessages, FORGOTTEN, readStream, write } from "@messagedb/client";
 * import * as z from "zod";
 *
 * const keys = new Map<string, CryptoKey>(); // in a program: a table, or a key service
 * const newKey = () =>
 *   crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
 *
 * const person = defineMessages({ Registered: z.object({ name: z.string() }) }, {
 *   codec: {
 *     async encode(data, { streamName }) {
 *       const key = keys.get(streamName) ?? await newKey();
 *       keys.set(streamName, key);
 *       const iv = crypto.getRandomValues(new Uint8Array(12));
 *       const text = new TextEncoder().encode(JSON.stringify(data));
 *       const bytes = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, text);
 *       return { iv: [...iv], bytes: [...new Uint8Array(bytes)] };
 *     },
 *     async decode(data, { streamName }) {
 *       const key = keys.get(streamName);
 *       if (key === undefined) return FORGOTTEN;
 *       const { iv, bytes } = data as { iv: number[]; bytes: number[] };
 *       const algorithm = { name: "AES-GCM", iv: Uint8Array.from(iv) };
 *       const text = await crypto.subtle.decrypt(algorithm, key, Uint8Array.from(bytes));
 *       return JSON.parse(new TextDecoder().decode(text));
 *     },
 *   },
 * });
 *
 * await write(sql, "person-1", person.Registered({ name: "Ada" }));
 * keys.delete("person-1");
 * const [message] = await readStream(sql, "person-1", { messages: person });
 * message?.type; // "$forgotten"
 * ```
 */
export const FORGOTTEN: unique symbol = /* @__PURE__ */ Symbol.for("@messagedb/client/forgotten");

/** Converts data on its way to the store and back, for example to encrypt it. */
export interface Codec {
  /**
   * Called before a write, with the data as JSON, after the schema has parsed it.
   *
   * @returns The data to store, or a promise of it: anything that JSON can hold.
   */
  encode(data: unknown, message: CodedMessage): unknown;
  /**
   * Called after a read, with the stored data, before upcasts lift it and the schema parses it.
   *
   * @returns The data that `encode` was given, or `FORGOTTEN` if nobody can have the data any more; or a
   * promise of one of the two.
   */
  decode(data: unknown, message: CodedMessage): unknown;
}

/** The message, or the snapshot, whose data a codec converts. */
export interface CodedMessage {
  /** The stored type; for a snapshot `"Recorded:"` and its version. */
  readonly type: string;
  /** The stream; for a snapshot `account:snapshot-123`. */
  readonly streamName: string;
  /** The metadata as it is stored. */
  readonly metadata: MessageInput["metadata"];
  /** Whether the data is an entity's state, for a snapshot, and not the data of a message. */
  readonly isSnapshot: boolean;
}
