/**
 * Writes over a broken network in every way that the library has, until it is told to stop, and records
 * what became of each call.
 */
import {
  append,
  groupCommit,
  type IdentifiedMessageInput,
  importMessages,
  type MessageInput,
  write,
  writeBatch,
  writeStreams,
} from "@messagedb/client";
import { appendFileSync } from "node:fs";
import process from "node:process";
import postgres from "postgres";
import { randomOf, sleep, untilToldToStop } from "./_program.ts";

/** The program's argument, as JSON. */
export interface NetworkWriterArguments {
  readonly url: string;
  readonly seed: number;
  /** Where it says what became of its calls: a line of JSON a call, `Call`. */
  readonly file: string;
}

/** What a call wrote to one stream: all of the messages, in this order. */
export interface Part {
  readonly streamName: string;
  /** The `key` in the data of each message, which is the id, too, where the message has one. */
  readonly keys: readonly string[];
  /** The first message's, where no other call writes to the stream. */
  readonly expectedPosition?: number;
  /** The last message's, as it was answered. */
  readonly position?: number | undefined;
}

export interface Call {
  readonly kind: string;
  readonly parts: readonly Part[];
  /** "unknown": the connection was lost, and the call was not made again. */
  readonly outcome: "acknowledged" | "unknown" | "hung" | "wrong error";
  readonly tries: number;
  readonly error?: string;
}

/** What the network can do to a call, and no other error. */
const LOST = /^(CONNECTION_CLOSED|CONNECT_TIMEOUT|ECONNRESET|EPIPE|ECONNREFUSED)$/;

/** Milliseconds. How long a call may take after the network is whole again: far more than it does. */
const HUNG = 60_000;

type Keyed = IdentifiedMessageInput & { readonly data: { readonly key: string } };

/** Makes the call; resolves to the last positions of its parts. */
type Send = () => Promise<readonly (number | undefined)[]>;

if (process.argv[2] !== undefined) await main(JSON.parse(process.argv[2]));

async function main({ url, seed, file }: NetworkWriterArguments): Promise<void> {
  const stopping = untilToldToStop();
  const random = randomOf(seed);
  const open = (max: number) =>
    postgres(url, { max, fetch_types: false, connect_timeout: 2, onnotice: () => {} });
  const underWay = new Map<object, Pick<Call, "kind" | "parts" | "tries">>();
  const say = (call: Call) => appendFileSync(file, JSON.stringify(call) + "\n");

  /**
   * Makes a call, and makes it again until it is answered, unless it must be made once. Resolves to whether
   * it was answered.
   */
  async function settle(
    kind: string,
    parts: readonly Part[],
    send: Send,
    once = false,
  ): Promise<boolean> {
    for (let tries = 1;; tries++) {
      const call = { kind, parts, tries };
      underWay.set(parts, call);
      try {
        const positions = await send();
        const answered = parts.map((part, at) => ({ ...part, position: positions[at] }));
        say({ ...call, parts: answered, outcome: "acknowledged" });
        break;
      } catch (error) {
        const { code } = error as { code?: string };
        const isLost = LOST.test(String(code));
        const said = isLost ? code! : `${code} ${(error as Error).stack}`;
        if (!isLost || once) {
          say({ ...call, outcome: isLost ? "unknown" : "wrong error", error: said });
          underWay.delete(parts);
          return false;
        }
        // At once, or after a while.
        if (random() < 0.5) await sleep(random() * 100);
      }
    }
    underWay.delete(parts);
    return true;
  }

  const messagesOf = (count: number) =>
    Array.from({ length: count }, (): Keyed => {
      const id = crypto.randomUUID();
      return { id, type: "Written", data: { key: id } };
    });
  const keysOf = (messages: readonly Keyed[]) => messages.map(({ id }) => id);
  const some = (most: number) => 1 + Math.floor(random() * most);

  /** A writer with a stream of its own, which knows where that stream is. */
  async function own(
    kind: string,
    streamName: string,
    most: number,
    pause: number,
    send: (messages: Keyed[], expectedVersion: number) => Promise<number>,
  ): Promise<void> {
    for (let next = 0; !stopping.aborted;) {
      const messages = messagesOf(some(most));
      const expectedPosition = next;
      const parts = [{ streamName, keys: keysOf(messages), expectedPosition }];
      if (!await settle(kind, parts, async () => [await send(messages, expectedPosition - 1)])) {
        return;
      }
      next += messages.length;
      await sleep(random() * pause);
    }
  }

  /** A writer that writes to the streams of all. */
  async function shared(
    kind: string,
    most: number,
    pause: number,
    send: (streamNames: string[], messages: Keyed[]) => Promise<(number | undefined)[]>,
    streams = 1,
  ): Promise<void> {
    while (!stopping.aborted) {
      const first = Math.floor(random() * 8);
      const names = Array.from({ length: streams }, (_, at) => `shared-${(first + at) % 8}`);
      const messages = messagesOf(some(most));
      const parts = names.map((streamName, at) => ({
        streamName,
        keys: keysOf(messages.filter((_, index) => index % streams === at)),
      })).filter(({ keys }) => keys.length > 0);
      const isSettled = await settle(kind, parts, () => send(names, messages));
      if (!isSettled) return;
      await sleep(random() * pause);
    }
  }

  /** A writer whose messages have no ids, so that a call must not be made again. */
  async function anonymous(kind: string, send: (message: MessageInput) => Promise<number>) {
    while (!stopping.aborted) {
      const key = crypto.randomUUID();
      const parts = [{ streamName: "shared-0", keys: [key] }];
      const message = { type: "Anonymous", data: { key } };
      await settle(kind, parts, async () => [await send(message)], true);
      await sleep(random() * 50);
    }
  }

  const sql = open(4);
  const alone = open(1);
  const grouped = open(4);
  const writeGrouped = groupCommit(grouped);
  const halves = (names: string[], messages: Keyed[]) =>
    names.map((streamName, at) => ({
      streamName,
      messages: messages.filter((_, index) => index % names.length === at),
    })).filter(({ messages }) => messages.length > 0);

  const writers = [
    own(
      "write",
      "account-1",
      1,
      200,
      ([it], expectedVersion) => write(sql, "account-1", it!, { expectedVersion }),
    ),
    own(
      "write, one connection",
      "alone-1",
      1,
      5,
      ([it], expectedVersion) => write(alone, "alone-1", it!, { expectedVersion }),
    ),
    own(
      "writeBatch",
      "account-2",
      3,
      400,
      (messages, expectedVersion) => writeBatch(sql, "account-2", messages, { expectedVersion }),
    ),
    own(
      "append",
      "batch-1",
      5,
      20,
      async (messages, expectedVersion) =>
        (await append(sql, "batch-1", messages, { expectedVersion })).position,
    ),
    own(
      "writeBatch, large",
      "batch-2",
      300,
      500,
      (messages, expectedVersion) => writeBatch(sql, "batch-2", messages, { expectedVersion }),
    ),
    // Of so many categories that all connections are in use.
    ...Array.from({ length: 16 }, (_, at) => {
      const streamName = `group${at % 5}-${at}`;
      return own(
        "groupCommit",
        streamName,
        1,
        5,
        ([it], expectedVersion) => writeGrouped(streamName, it!, { expectedVersion }),
      );
    }),
    ...Array.from(
      { length: 4 },
      () =>
        shared(
          "groupCommit, shared",
          1,
          5,
          async ([name], [it]) => [await writeGrouped(name!, it!)],
        ),
    ),
    shared("write, shared", 1, 20, async ([name], [it]) => [await write(sql, name!, it!)]),
    shared(
      "append, shared",
      4,
      20,
      async ([name], messages) => [(await append(sql, name!, messages)).position],
    ),
    shared(
      "writeStreams",
      9,
      20,
      (names, messages) => writeStreams(sql, halves(names, messages)),
      3,
    ),
    anonymous("write without an id", (it) => write(sql, "shared-0", it)),
    anonymous("groupCommit without an id", (it) => writeGrouped("shared-0", it)),
    shared("importMessages", 1500, 1000, async ([streamName], messages) => {
      await importMessages(sql, messages.map((it) => ({ ...it, streamName: streamName! })));
      return [undefined];
    }),
  ];
  const isOver = await Promise.race([
    Promise.all(writers).then(() => true),
    new Promise<void>((resolve) => stopping.addEventListener("abort", () => resolve()))
      .then(() => sleep(HUNG)),
  ]);
  if (!isOver) { for (const call of underWay.values()) say({ ...call, outcome: "hung" }); }
  process.exit();
}
