import type { ConsumerGroup } from "../types.ts";

/** What there is to follow: a stream, a category, `"$all"`, or an aggregate. */
export type Source = string | { readonly aggregate: string };

/** Which of the messages. */
export interface SourceOptions {
  /** Only messages of these types. */
  readonly types?: readonly string[] | undefined;
  /** Only messages whose `correlationStreamName` is of this category. Of a category alone. */
  readonly correlation?: string | undefined;
  /**
   * Only the streams that are this member's share of a category; of an aggregate, only the partitions.
   */
  readonly consumerGroup?: ConsumerGroup | undefined;
  /**
   * How many messages to read at once, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}
