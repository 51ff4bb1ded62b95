/** Consumes until it is told to stop, and records each message that it has handled, and when. */
import {
  type Aggregate,
  aggregate,
  consume,
  type HandlerContext,
  type Message,
  type MessageConsumer,
  type Sql,
  subscribe,
} from "@messagedb/client";
import { appendFileSync } from "node:fs";
import process from "node:process";
import postgres from "postgres";
import { randomOf, sleep, untilToldToStop } from "./_program.ts";

export type Kind =
  | "lanes"
  | "twins"
  | "effects"
  | "pages"
  | "group"
  | "rewound"
  | "ledger"
  | "category"
  | "all";

/** The program's argument, as JSON. */
export interface ConsumerArguments {
  readonly kind: Kind;
  readonly url: string;
  readonly seed: number;
  /** Where those of a kind say what they have handled, in the order in which they have. */
  readonly file: string;
  /** Which of the processes of the test it is. */
  readonly life: number;
  /** Where a subscriber that keeps its position itself goes on. */
  readonly startAt: number;
  readonly answerTimeout?: number;
}

/**
 * A message that was handled, as a line of JSON. The run is one that has a position, from when it is
 * looked up until it is given up: of a group's member, many a life.
 */
export type Handled = readonly [
  globalPosition: number,
  streamName: string,
  position: number,
  life: number,
  run: number,
];

/** The consumers of the category, as the test finds them again. */
export const consumers = {
  lanes: { category: "account", consumerId: "lanes" },
  twins: { category: "account", consumerId: "twins" },
  effects: { category: "account", consumerId: "effects" },
  pages: { category: "account", consumerId: "pages" },
  group: { category: "account", consumerId: "group", consumerGroup: { size: 4 } },
  /** An operator sets its position again and again. */
  rewound: { category: "account", consumerId: "rewound" },
};

export const PARTITIONS = 4;

/** In milliseconds. */
export const LEASE = 1500;

export const ledger: Aggregate = {
  name: "ledger",
  from: ["account", "late%"],
  partition: ({ streamName }) => streamName,
  partitions: PARTITIONS,
};

/** How a process ends that could not begin, because the database was not there, or silent. */
export const NOT_BEGUN = 75;

if (process.argv[2] !== undefined) await main(JSON.parse(process.argv[2]));

async function main(
  { kind, url, seed, file, life, startAt, answerTimeout }: ConsumerArguments,
): Promise<void> {
  const signal = untilToldToStop();
  const random = randomOf(seed);
  const sql = postgres(url, { max: 6, fetch_types: false, onnotice: () => {} });
  const runs: AbortSignal[] = [];
  let hasWorked = false;

  function record({ globalPosition, streamName, position }: Message, over: AbortSignal): void {
    hasWorked = true;
    if (!runs.includes(over)) runs.push(over);
    const run = runs.indexOf(over);
    const handled: Handled = [globalPosition, streamName, position, life, run];
    // A line of its own even behind one that was killed halfway.
    appendFileSync(file, `\n${JSON.stringify(handled)}`);
  }

  const following = { batchSize: 100, pollInterval: 200, answerTimeout, onRetry: () => {} };
  const options = { ...following, positionUpdateInterval: 25, leaseDuration: LEASE };
  const plain: Omit<MessageConsumer<Sql, Message, false>, "consumerId"> = {
    ...options,
    handle: async (message, { signal }) => {
      await sleep(random() * 5);
      record(message, signal);
    },
  };
  const transactional: Omit<
    MessageConsumer<postgres.Sql, Message, true>,
    "consumerId"
  > = {
    ...options,
    transactional: true,
    handle: async (
      { globalPosition, streamName, position }: Message,
      { sql }: HandlerContext<postgres.TransactionSql>,
    ) => {
      // Now and then long enough that a lost connection is there anew before it ends.
      await sleep(random() * (random() < 0.01 ? 400 : 2));
      await sql`
        insert into effect (global_position, stream_name, position)
        values (${globalPosition}, ${streamName}, ${position})`;
      await sleep(random() * (random() < 0.01 ? 400 : 2));
      hasWorked = true;
    },
  };

  async function work(): Promise<void> {
    switch (kind) {
      case "lanes":
        return await consume(
          sql,
          { ...consumers.lanes, ...plain, concurrency: 4, notify: true },
          { signal },
        );
      case "rewound":
        return await consume(sql, { ...consumers.rewound, ...plain }, { signal });
      case "twins":
        return await consume(sql, { ...consumers.twins, ...plain, exclusive: false }, { signal });
      case "effects":
        return await consume(sql, { ...consumers.effects, ...transactional }, { signal });
      case "pages":
        return await consume(sql, {
          ...consumers.pages,
          ...options,
          transactional: true,
          handlePage: async (messages, { sql }) => {
            await sql`
              insert into page_effect (global_position, stream_name, position)
              select * from jsonb_to_recordset(${
              sql.json(
                messages.map(({ globalPosition, streamName, position }) => (
                  { global_position: globalPosition, stream_name: streamName, position }
                )),
              )
            }) as message (global_position bigint, stream_name text, position bigint)`;
            await sleep(random() * (random() < 0.02 ? 400 : 2));
            hasWorked = true;
          },
        }, { signal });
      case "group":
        return await consume(
          sql,
          { ...consumers.group, ...plain, notify: true },
          { signal },
        );
      case "ledger": {
        const partition: Aggregate["partition"] = (message) => {
          hasWorked = true;
          return ledger.partition(message);
        };
        return await aggregate(sql, { ...following, ...ledger, partition }, { signal });
      }
      case "category":
      case "all": {
        const source = kind === "all" ? "$all" : "account";
        const messages = subscribe(sql, source, { ...following, startAt, notify: true, signal });
        for await (const message of messages) record(message, signal);
      }
    }
  }

  try {
    await work();
    process.exit();
  } catch (error) {
    const { code } = error as { code?: unknown };
    const isDown = /^(57P|08|53|CONN|E[A-Z]+$|ANSWER_TIMEOUT$)/.test(String(code));
    if (isDown && !hasWorked) process.exit(NOT_BEGUN);
    console.error(hasWorked ? "It had begun, and then:" : "It could not begin:", error);
    process.exit(1);
  }
}
