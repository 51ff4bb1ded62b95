/** Options of `park` and `skip`. */
export interface PassOptions {
  /** Why the consumer does not handle the message. It is kept, in the stream of parked messages. */
  readonly reason: string;
  /**
   * The types that the consumer handles, as they are stored: it leaves out the others that are before the
   * message.
   *
   * @default what the consumer recorded with its position; all types if it recorded none
   */
  readonly types?: readonly string[] | undefined;
}
