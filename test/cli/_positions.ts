import { importMessages, type Metadata, readCategory, type Sql } from "@messagedb/client";

/** A message that was written a while ago. */
export interface Aged {
  readonly streamName: string;
  readonly type?: string;
  readonly data?: unknown;
  readonly metadata?: Metadata;
  /** In minutes. */
  readonly age: number;
}

/** Writes messages that are this old, in order. */
export async function writeAged(sql: Sql, ...messages: readonly Aged[]): Promise<void> {
  await importMessages(
    sql,
    messages.map(({ age, type = "Opened", ...message }) => ({
      id: crypto.randomUUID(),
      type,
      time: new Date(Date.now() - age * 60_000),
      ...message,
    })),
  );
}

/** A category of old messages, and a consumer that has handled the first of them, as long ago. */
export async function writeBehind(
  sql: Sql,
  category: string,
  consumerId: string,
  { count = 3, age = 60, metadata }: {
    readonly count?: number;
    readonly age?: number;
    readonly metadata?: Metadata;
  } = {},
): Promise<number> {
  const messages = Array.from({ length: count }, (_, at) => ({
    streamName: `${category}-${at}`,
    data: { at },
    age,
  }));
  await writeAged(sql, ...messages);
  const [first] = await readCategory(sql, category);
  const position = first!.globalPosition;
  const streamName = `${category}:position-${consumerId}`;
  await writeAged(sql, {
    streamName,
    type: "Recorded",
    data: { position },
    age,
    ...metadata && { metadata },
  });
  return position;
}
