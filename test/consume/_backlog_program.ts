/**
 * Takes a backlog and looks at its heap meanwhile, for test/consume/backlog.test.ts. Its argument is JSON, and
 * so is what it prints.
 */
import { drain, type Message, subscribe } from "@messagedb/client";
import process from "node:process";
import postgres from "postgres";

export interface BacklogArguments {
  readonly url: string;
  readonly how: "drain" | "drain side by side" | "subscribe to a category" | "subscribe to all";
  /** How many messages there are. */
  readonly count: number;
}

/** How many messages came, and how many bytes the heap had after each tenth of a half of them. */
export interface Heap {
  readonly taken: number;
  readonly samples: readonly number[];
}

const { url, how, count }: BacklogArguments = JSON.parse(process.argv[2]!);
const sql = postgres(url, { max: 2, fetch_types: false });
const samples: number[] = [];
let taken = 0;

function take(_: Message): void {
  taken++;
  if (taken % (count / 20) !== 0) return;
  globalThis.gc!();
  samples.push(process.memoryUsage().heapUsed);
}

const consumer = { category: "account", consumerId: how.replaceAll(" ", ""), handle: take };
switch (how) {
  case "drain":
    await drain(sql, consumer);
    break;
  case "drain side by side":
    await drain(sql, { ...consumer, concurrency: 8 });
    break;
  default: {
    const caughtUp = new AbortController();
    const messages = subscribe(sql, how === "subscribe to all" ? "$all" : "account", {
      signal: caughtUp.signal,
      onCaughtUp: () => caughtUp.abort(),
    });
    for await (const message of messages) take(message);
  }
}
await sql.end();
console.log(JSON.stringify({ taken, samples } satisfies Heap));
