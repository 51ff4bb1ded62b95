import { connect as connectTcp, createServer, type Socket } from "node:net";
import { once } from "node:events";
import type postgres from "postgres";
import { consume, type Consumer, readStream, type Sql, writeBatch } from "../../mod.ts";

/** A consumer that runs. */
export interface Running {
  /** Aborts it, and resolves or rejects as it does. */
  stop(): Promise<void>;
  readonly done: Promise<void>;
}

/** Starts a consumer that polls often. */
export function start<Handle extends Sql>(
  sql: Handle,
  consumer: Consumer<NoInfer<Handle>>,
): Running {
  const ending = new AbortController();
  const done = consume(sql, { pollInterval: 20, ...consumer }, { signal: ending.signal });
  done.catch(() => {});
  return {
    stop: () => {
      ending.abort();
      return done;
    },
    done,
  };
}

/** A promise that somebody else resolves. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = () => {};
  const opened = new Promise<void>((resolve) => open = resolve);
  return { opened, open: () => open() };
}

/** The positions that are stored in a position stream, all of them. */
export async function stored(sql: Sql, streamName: string): Promise<number[]> {
  const messages = await readStream<{ position: number }>(sql, streamName, { batchSize: 100_000 });
  return messages.map(({ data }) => data.position);
}

/** Writes messages, their data their numbers, to streams in turn; answers their global positions. */
export async function writeCounted(
  sql: postgres.Sql,
  category: string,
  count: number,
  { streams = 1, from = 0 }: { readonly streams?: number; readonly from?: number } = {},
): Promise<number[]> {
  for (let at = from; at < from + count; at++) {
    await writeBatch(sql, `${category}-${at % streams}`, [{ type: "Counted", data: at }]);
  }
  const rows = await sql`
    select global_position::int as position
    from message_store.messages
    where message_store.category(stream_name) = ${category}
    order by global_position`;
  return rows.slice(-count).map(({ position }) => position);
}

/** A way to the database that can lose an answer. */
export interface Proxy {
  readonly url: string;
  /** Cuts a connection in place of the answer to the next statement that holds this. */
  loseAnswerTo(statement: string): void;
  /** How many answers were lost. */
  readonly lost: number;
  close(): Promise<void>;
}

export async function startProxy(databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let losing: string | undefined;
  let lost = 0;
  const server = createServer((client) => {
    const upstream = connectTcp(Number(target.port || 5432), target.hostname);
    let isLosing = false;
    const cut = () => {
      client.destroy();
      upstream.destroy();
      sockets.delete(client);
    };
    sockets.add(client);
    for (const socket of [client, upstream]) socket.on("error", cut).on("close", cut);
    client.on("data", (bytes) => {
      if (losing !== undefined && bytes.toString("latin1").toLowerCase().includes(losing)) {
        losing = undefined;
        isLosing = true;
      }
      upstream.write(bytes);
    });
    upstream.on("data", (bytes) => {
      if (!isLosing) return void client.write(bytes);
      lost++;
      cut();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url: url.href,
    loseAnswerTo: (statement) => {
      losing = statement;
    },
    get lost() {
      return lost;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
