import type { ConsumerGroup } from "../types.ts";

/** A source of messages: a stream, a category, `"$all"`, or an aggregate. */
export type Source = string | { readonly aggregate: string };

/** Which messages of a source to read. */
export interface SourceOptions {
  /** Only messages of these types. */
  readonly types?: readonly string[] | undefined;
  /** Only messages whose `correlationStreamName` is in this category. For a category only. */
  readonly correlation?: string | undefined;
  /**
   * Only this member's share: of a category, some of its streams; of an aggregate, some of its partitions.
   */
  readonly consumerGroup?: ConsumerGroup | undefined;
  /**
   * How many messages to read at once, from 1.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
}
