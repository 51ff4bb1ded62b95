import type { MessageInput } from "@messagedb/client";

/** What a way is asked to do, as JSON. */
export interface Job {
  readonly url: string;
  readonly operation: "write" | "writeBatch" | "readStream" | "fetch" | "readCategory" | "readAll";
  /** What the streams are called before the hyphen. */
  readonly name: string;
  /** How many messages to write or read in all. */
  readonly count: number;
  /** Messages in a batch, a page or, where streams are read, a stream. */
  readonly batchSize: number;
  /** How many streams there are to read: after the last, the first is read again. */
  readonly streams: number;
  /** How many calls are under way at any time; readers of a category are so many members of a group. */
  readonly inFlight: number;
  /** The size of a pool; where a caller has a connection to itself, how many callers there are. */
  readonly connections: number;
  /** Whether each writer has a category of its own. */
  readonly many: boolean;
  /** The global position to read all messages from. */
  readonly position: number;
  readonly message: MessageInput;
  /** For how many milliseconds to warm up at most, instead of doing so many. */
  readonly warmUp?: number;
}

/** What it took. */
export interface Outcome {
  readonly messages: number;
  readonly seconds: number;
  /** Of each call, in milliseconds. */
  readonly latencies: readonly number[];
  /** Of the client, in milliseconds. */
  readonly cpu?: number;
  /** The most that the client had in memory meanwhile, in bytes. */
  readonly memory?: number;
}

/** A process of a way, which does one job after another. */
export interface Runner {
  run(job: Job): Promise<Outcome>;
  close(): Promise<void>;
}

/** What a client does, where it can; reads answer how many messages they read. */
export interface Client {
  write?(streamName: string, message: MessageInput): Promise<unknown>;
  writeBatch?(streamName: string, messages: readonly MessageInput[]): Promise<unknown>;
  readStream?(streamName: string, batchSize: number): Promise<number>;
  /** Reads an entity and folds it; answers how many messages that were. */
  fetch?(category: string, id: string): Promise<number>;
  /** To the end, page by page. */
  readCategory?(category: string, batchSize: number, group?: Group): Promise<number>;
  /** From the position on, page by page, so many messages. */
  readAll?(position: number, batchSize: number, count: number): Promise<number>;
  close(): Promise<unknown>;
}

/** A member's share. */
export interface Group {
  readonly member: number;
  readonly size: number;
}

/** Opens a client with so many connections. */
export type Connect = (url: string, connections: number) => Client;

/** The state of an entity that is fetched. */
export interface Account {
  readonly balance: number;
  readonly count: number;
}

export function init(): Account {
  return { balance: 0, count: 0 };
}

export function evolve({ balance, count }: Account, { data }: { readonly data: unknown }): Account {
  const { amount } = data as { readonly amount: number };
  return { balance: balance + amount, count: count + 1 };
}

/** A position behind all messages. */
export const END = Number.MAX_SAFE_INTEGER;

/** The stream that a writer writes to. */
export function streamOf({ name, many }: Job, writer: number): string {
  return many ? `${name}x${writer}-1` : `${name}-${writer}`;
}

/** Reads page by page until a page is not full; answers how many messages there were. */
export async function countPages(
  batchSize: number,
  readPage: (position: number) => Promise<readonly { readonly globalPosition: number }[]>,
  most = Infinity,
): Promise<number> {
  let count = 0;
  let position = 1;
  for (;;) {
    const page = await readPage(position);
    count += page.length;
    if (page.length < batchSize || count >= most) return count;
    position = page.at(-1)!.globalPosition + 1;
  }
}

/** A message as JSON, its data so many bytes of it. */
export function messageOf(bytes: number): MessageInput {
  const data = { amount: 11, currency: "EUR", description: "" };
  const description = "Rent for a flat in Lisbon. ".repeat(bytes / 27 + 1)
    .slice(0, Math.max(0, bytes - JSON.stringify(data).length));
  return {
    type: "Deposited",
    data: { ...data, description },
    metadata: { correlationStreamName: "transfer-7", schemaVersion: "1" },
  };
}
