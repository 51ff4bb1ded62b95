import type { ConsumerIdentity, ConsumerStatus, Sql } from "@messagedb/client/operate";
import { badUse, CommandError } from "./exit_code.ts";
import { type Column, printable } from "./text.ts";

/** A consumer, or a member of its group, as an argument names it. */
export interface NamedConsumer {
  /** The consumer's names, without its group. */
  readonly identity: ConsumerIdentity;
  /** The consumer's positions, those of another size of the group left out; of a member, its own. */
  readonly positions: readonly ConsumerStatus[];
  /** The stream that stores the consumer's position, or would. */
  readonly streamName: string;
  /** The handle of the database that the consumer is in: of its partition, if the store has several. */
  readonly store: Sql;
}

/** What `findConsumer` takes, for the help of a command. */
export const CONSUMER_HELP =
  "its name (balances), or its position stream (account:position-balances)";

/**
 * Finds a consumer by its name alone, where no other consumer has that name, or by the stream of its position.
 *
 * @throws {CommandError} If no consumer has the name, or several have.
 */
export async function findConsumer(sql: Sql, name: string): Promise<NamedConsumer> {
  const { consumers } = await import("@messagedb/client/operate");
  const { partitionFor } = await import("@messagedb/client");
  const all = (await consumers(sql)).filter(({ consumerId }) => consumerId !== null);
  const found = all.filter((it) => [it.streamName, wholeStream(it), it.consumerId].includes(name));
  const streams = [...new Set(found.map(wholeStream))];
  if (streams.length > 1) {
    throw badUse(`${streams.length} consumers are named "${name}": give ${streams.join(" or ")}`);
  }
  const [first] = found;
  if (first === undefined) {
    const never = neverRun(name);
    return { ...never, store: partitionFor(sql, never.identity.category!) };
  }
  const { category, aggregate, consumerId } = first;
  return {
    identity: {
      ...aggregate === undefined ? { category } : { aggregate },
      consumerId: consumerId!,
    },
    positions: found.filter((it) => it.health !== "replaced" || it.streamName === name),
    streamName: wholeStream(first),
    store: partitionFor(sql, category ?? aggregate!),
  };
}

/** A consumer that has no position yet can be named by the stream in which it would be. */
function neverRun(name: string): Omit<NamedConsumer, "store"> {
  const [, category, consumerId] = /^([^-]+)[:+]position-([^+]+)$/.exec(name) ?? [];
  if (category !== undefined) {
    return { identity: { category, consumerId: consumerId! }, positions: [], streamName: name };
  }
  throw new CommandError(
    `No consumer "${name}" has stored a position: "messagedb consumers" lists those that have`,
  );
}

/** The stream that the consumer's position has, or would have without a group. */
export function wholeStream({ streamName, consumerGroup }: ConsumerStatus): string {
  return consumerGroup === undefined ? streamName : streamName.replace(/(\+\d+){2}$/, "");
}

/** A consumer, for sentences: `letters of account`, `everything of $all in partition 2`. */
export function consumerText(
  { partition, category, aggregate, consumerId }:
    & Pick<
      ConsumerStatus,
      "partition" | "category" | "aggregate"
    >
    & {
      readonly consumerId: string | null;
    },
): string {
  const source = aggregate === undefined ? category! : `aggregate ${aggregate}`;
  const text = consumerId === null ? source : `${consumerId} of ${source}`;
  return printable(text) + (partition === undefined ? "" : ` in partition ${partition}`);
}

/** What tells the consumer apart from all others of the store: each partition may have one of the same names. */
export function wholeKey(status: ConsumerStatus): string {
  return `${status.partition ?? ""} ${wholeStream(status)}`;
}

/** A consumer or a member of its group, for sentences: `letters of account, member 1 of 4`. */
export function memberText(status: ConsumerStatus): string {
  const { consumerGroup } = status;
  const text = consumerText(status);
  return consumerGroup === undefined
    ? text
    : `${text}, member ${consumerGroup.member} of ${consumerGroup.size}`;
}

/** How a position that a command has set takes effect, by who holds the positions. */
export function takeUpText(positions: readonly Pick<ConsumerStatus, "owner">[]): string {
  return positions.some(({ owner }) => owner !== null)
    ? "A process runs: it goes on from there within a second, or 10 s if its handler hangs."
    : "No process holds it: start it.";
}

/** That there are no consumers, or none of this category. */
export function noneStored(category: string | undefined): string {
  return category === undefined
    ? "No consumer has stored a position"
    : `No consumer of "${category}" has stored a position`;
}

/** The column of the partition, where there are partitions. */
export function partitionColumn<Row extends { readonly partition?: number | undefined }>(
  rows: readonly Row[],
): Column<Row>[] {
  return rows.every(({ partition }) => partition === undefined)
    ? []
    : [{ title: "partition", isNumber: true, of: ({ partition }) => String(partition ?? "") }];
}

/** The option that a command needs for what is in this partition, as it follows the command. */
export function partitionOption(partition: number | undefined): string {
  return partition === undefined ? "" : ` --partition ${partition}`;
}

/** An argument as a shell takes it. */
export function shellArgument(text: string): string {
  return /^[\w:.@%+,/-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", "'\\''")}'`;
}
