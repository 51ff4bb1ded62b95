import type { InvalidMessageError } from "../errors.ts";

/**
 * Parses messages that no read of this library has parsed: those that an `EventSource`, a queue or a file has
 * brought, or a read without a catalogue.
 *
 * @typeParam Parsed The messages of the catalogue as they are read; with undefined if it skips messages.
 */
export interface MessageParser<Parsed> {
  /**
   * Parses a stored message, as a read with the catalogue does: the codec, the upcasts and the schema.
   *
   * @example
   * ```ts
   * import { defineMessages, readLastMessage, write } from "@messagedb/client";
   * import * as z from "zod";
   *
   * const account = defineMessages({ Deposited: z.object({ amount: z.number() }) });
   *
   * await write(sql, "account-123", account.Deposited({ amount: 11 }));
   * const json = JSON.stringify(await readLastMessage(sql, "account-123")); // as a queue brings it
   *
   * const message = await account.parse(JSON.parse(json));
   * message.data.amount; // 11
   * message.time.getUTCFullYear(); // a Date
   * ```
   *
   * @param message The message as it is stored: an object with all members of a `Message`. Its `time` is a
   * `Date` or the ISO text that JSON makes of a date. Without `data` or `metadata`, these are null.
   * @returns The message, parsed; undefined if the catalogue skips the message.
   * @throws {InvalidMessageError} If the message does not fit the catalogue.
   * @throws {TypeError} If this is no message. What the codec throws is thrown as it is.
   * @throws {RangeError} If a position is no integer from 0.
   */
  parse(this: void, message: unknown): Promise<Parsed>;
  /**
   * As `parse`, but what is wrong with the message is in the result. What the codec throws is thrown, because
   * that says nothing of the message.
   *
   * @param message As for `parse`.
   * @returns The message, parsed; or the error that `parse` would throw.
   */
  safeParse(this: void, message: unknown): Promise<ParseResult<Parsed>>;
}

/** The result of `safeParse`: `success` tells the two apart. */
export type ParseResult<Parsed> =
  | { readonly success: true; readonly message: Parsed }
  | { readonly success: false; readonly error: InvalidMessageError | TypeError | RangeError };
