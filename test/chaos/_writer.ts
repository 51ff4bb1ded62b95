/**
 * Writes until it is told to stop, and each message until it knows what has become of it: by the
 * library, and by plain INSERTs that commit late, or never.
 */
import { fromQuery, type MessageInput, write, writeBatch } from "@messagedb/client";
import { appendFileSync } from "node:fs";
import process from "node:process";
import pg from "pg";
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
// A driver that outlives its connections: who is killed here are the consumers.
const pool = new pg.Pool({ connectionString: url, max: 4 });
pool.on("error", () => {});
const sql = fromQuery((text, parameters) => pool.query(text, parameters));

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
      const { code, message } = error as { code?: unknown; message: string };
      if (!/^(57P|08|53|23505|E[A-Z]+$|Connection terminated)/.test(String(code ?? message))) {
        throw error;
      }
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
      const known = "select from message_store.messages where id = $1";
      if ((await pool.query(known, [id])).rowCount === 1) return;
      // Taken now, committed later; or divided by nothing, and rolled back.
      await pool.query(
        `with
          written as (
            insert into message_store.messages (id, stream_name, position, type)
            select $1, $2::text, coalesce(max(position), -1) + 1, 'Late'
            from message_store.messages
            where stream_name = $2::text
            returning global_position
          ),
          slept as (
            select pg_sleep($3)::text as nothing from written
          )
        select 1 / (length(nothing) + $4::int) from slept`,
        [id, stream, random() * 0.2, isKept ? 1 : 0],
      )
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
