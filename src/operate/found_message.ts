/** A message as the store has it, with its data as text. */
export interface FoundMessage {
  /** The id of the message. */
  readonly id: string;
  /** The stream of the message. */
  readonly streamName: string;
  /** The type of the message; if it is longer than 1,000 characters, the first 1,000 and `...`. */
  readonly type: string;
  /** The position in the stream. */
  readonly position: number;
  /** The global position. */
  readonly globalPosition: number;
  /** When the message was written; null if no Date can be so early or late. */
  readonly time: Date | null;
  /** The data: JSON as the store writes it, or its beginning; null for none. */
  readonly data: string | null;
  /** The metadata: JSON as the store writes it, or its beginning; null for none. */
  readonly metadata: string | null;
  /** Whether data or metadata are longer than what was read. */
  readonly isCut: boolean;
  /** How many bytes data and metadata have together, as JSON. */
  readonly size: number;
}
