/** Options of `park` and `skip`. */
export interface PassOptions {
  /** Why the consumer does not handle the message. It is kept, in the stream of parked messages. */
  readonly reason: string;
  /**
   * The types that the consumer handles, as they are stored. The store does not know them, and so cannot
   * tell that the consumer leaves out the messages that are before the message.
   *
   * @default all types
   */
  readonly types?: readonly string[] | undefined;
}
