/**
 * Writes until it is told to stop, and each message until it knows what has become of it: by the
 * library, and by plain INSERTs that commit late, or never.
 */
import { type MessageInput, write, writeBatch } from "@messagedb/client";
import { appendFileSync } from "node:fs";
import process from "node:process";
import postgres from "postgres";
import { randomOf, sleep, untilToldToStop } from "./_program.ts";

/** The program's argument, as JSON. */
export interface WriterArguments {
  readonly name: string;
  readonly url: string;
  readonly seed: number;
  /** Where it says what it has written: a line of JSON a message, `Written`. */
  readonly file: string;
}

/** Its id, and whether it is to be in the store. */
export type Written = readonly [id: string, isThere: boolean];

const { name, url, seed, file }: WriterArguments = JSON.parse(process.argv[2]!);
const stopping = untilToldToStop();
const random = randomOf(seed);
const sql = postgres(url, { max: 4, fetch_types: false, onnotice: () => {} });

function say(ids: readonly string[], isThere: boolean): void {
  const lines = ids.map((id) => JSON.stringify([id, isThere] satisfies Written) + "\n");
  appendFileSync(file, lines.join(""));
}

async function untilDone(work: () => Promise<void>): Promise<void> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      // Whatever of the server's: it is going down, coming up or killed.
      const { code } = error as { code?: unknown };
      if (!/^(57P|08|53|23505|CONN|E[A-Z]+$)/.test(String(code))) throw error;
      await sleep(20 + random() * 100);
    }
  }
}

/** All the writers write to the same streams. */
async function writeByLibrary(): Promise<void> {
  while (!stopping.aborted) {
    const stream = `account-${Math.floor(random() * 16)}`;
    const messages = Array.from(
      { length: random() < 0.2 ? 3 : 1 },
      (): MessageInput & { id: string } => ({ id: crypto.randomUUID(), type: "Deposited" }),
    );
    await untilDone(async () => {
      if (messages.length === 1) await write(sql, stream, messages[0]!);
      else await writeBatch(sql, stream, messages);
    });
    say(messages.map(({ id }) => id), true);
    await sleep(random() * 100);
  }
}

async function writeByInsert(stream: string): Promise<void> {
  while (!stopping.aborted) {
    const id = crypto.randomUUID();
    const isKept = random() < 0.8;
    await untilDone(async () => {
      // A commit whose answer was lost.
      const [known] = await sql`select from message_store.messages where id = ${id}`;
      if (known) return;
      // Taken now, committed later; or divided by nothing, and rolled back.
      await sql`
        with
          written as (
            insert into message_store.messages (id, stream_name, position, type)
            select ${id}, ${stream}, coalesce(max(position), -1) + 1, 'Late'
            from message_store.messages
            where stream_name = ${stream}
            returning global_position
          ),
          slept as (
            select pg_sleep(${random() * 0.2})::text as nothing from written
          )
        select 1 / (length(nothing) + ${isKept ? 1 : 0}::int) from slept`
        .catch((error) => {
          if (isKept || error.code !== "22012") throw error;
        });
    });
    say([id], isKept);
    await sleep(random() * 20);
  }
}

await Promise.all([
  writeByLibrary(),
  writeByInsert(`late-${name}1`),
  writeByInsert(`lateToo-${name}2`),
]);
process.exit();
