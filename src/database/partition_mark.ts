/** Which partition of a store a database is. */
export interface PartitionMark {
  /** The partition's number, from 0 to `of` - 1: its place in the list that `partitioned` is given. */
  readonly number: number;
  /** How many partitions the store has. */
  readonly of: number;
}
