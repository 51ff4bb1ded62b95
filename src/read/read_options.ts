import type { ConsumerGroup, Direction } from "../types.ts";

/** Options of `readStream`. */
export interface ReadStreamOptions {
  /**
   * The position to start at, which is included.
   *
   * @default 0, or the end when reading backward
   */
  readonly position?: number | undefined;
  /**
   * How many messages to read at most, from 1. If the data of a batch is more than one text can hold (half
   * a gigabyte in V8), several statements read it.
   *
   * @default 1000
   */
  readonly batchSize?: number | undefined;
  /**
   * The direction to read in.
   *
   * @default "forward"
   */
  readonly direction?: Direction | undefined;
  /**
   * A SQL condition on the columns of `messages`, as Message DB's `condition`. It is raw SQL by
   * design, so never build it from input. Names that are not Message DB's need their schema. The
   * server must allow conditions, by the setting `message_store.sql_condition`, which any session
   * can set.
   */
  readonly condition?: string | undefined;
}

/** Options of `readCategory`: those of `readStream`, but with global positions, and two more. */
export interface ReadCategoryOptions extends ReadStreamOptions {
  /**
   * The global position to start at, which is included.
   *
   * @default 1, or the end when reading backward
   */
  readonly position?: number | undefined;
  /** Reads only messages whose `correlationStreamName` is a stream of this category. */
  readonly correlation?: string | undefined;
  /** Reads only the streams that are this member's share. */
  readonly consumerGroup?: ConsumerGroup | undefined;
}
