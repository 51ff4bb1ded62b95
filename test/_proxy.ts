import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";

/** One connection through a proxy, and what can happen to it. */
export interface Link {
  /** Ends it on both sides, as a proxy does that is stopped. */
  cut(): void;
  /** The client's side gets a RST, which is ECONNRESET. */
  reset(): void;
  /** Nothing passes any more, in either direction: neither an end nor an error. */
  stall(): void;
  /** Ends what the server says, and lets the client go on speaking. */
  halfClose(): void;
  /** Ends what the client says, and lets the server go on answering. */
  hangUp(): void;
  /** Passes so many bytes of an answer, then ends the connection. */
  truncate(answer: Buffer, length: number): void;
  /** Passes so many bytes of a request, then ends the connection. */
  truncateRequest(request: Buffer, length: number): void;
}

/** A fault, in place of the bytes that it gets. */
export type Fault = (link: Link, bytes: Buffer) => void;

/** What goes to the database, or what comes from it. */
export type Direction = "request" | "answer";

/** A TCP proxy on loopback, before a database. */
export interface TcpProxy {
  /** The database's URL, by way of the proxy. */
  readonly url: string;
  /** The open connections. */
  readonly links: ReadonlySet<Link>;
  /** How many connections there have been. */
  readonly opened: number;
  /** What becomes of the next bytes in this direction that hold the text. Resolves when it has happened. */
  next(direction: Direction, fault: Fault, text?: string): Promise<void>;
  /** Leads new connections to another server, and resets those that are open. */
  redirect(databaseUrl: string): void;
  close(): Promise<void>;
}

interface Trap {
  readonly direction: Direction;
  readonly fault: Fault;
  readonly text: string;
  readonly sprung: () => void;
}

/** A proxy that is closed with the test. */
export async function useProxy(databaseUrl: string): Promise<TcpProxy> {
  const proxy = await startTcpProxy(databaseUrl);
  onTestFinished(proxy.close);
  return proxy;
}

export async function startTcpProxy(databaseUrl: string): Promise<TcpProxy> {
  let target = new URL(databaseUrl);
  const links = new Set<Link>();
  const sockets = new Set<Socket>();
  const traps: Trap[] = [];
  let opened = 0;
  const spring = (direction: Direction, link: Link, bytes: Buffer): boolean => {
    const at = traps.findIndex((it) =>
      it.direction === direction && bytes.toString("latin1").includes(it.text)
    );
    const [trap] = at < 0 ? [] : traps.splice(at, 1);
    trap?.fault(link, bytes);
    trap?.sprung();
    return trap !== undefined;
  };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    opened++;
    const database = connect({
      port: Number(target.port || 5432),
      host: target.hostname,
      allowHalfOpen: true,
    });
    const link = join(client, database, spring);
    links.add(link);
    for (const socket of [client, database]) {
      sockets.add(socket);
      socket.on("close", () => {
        sockets.delete(socket);
        links.delete(link);
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: url.href,
    links,
    get opened() {
      return opened;
    },
    next: (direction, fault, text = "") =>
      new Promise((sprung) => traps.push({ direction, fault, text, sprung })),
    redirect: (databaseUrl) => {
      target = new URL(databaseUrl);
      for (const link of links) link.reset();
    },
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      if (server.listening) await once(server, "close");
    },
  };
}

/** Passes on what both sides say, until something happens to the connection. */
function join(
  client: Socket,
  database: Socket,
  spring: (direction: Direction, link: Link, bytes: Buffer) => boolean,
): Link {
  let isStalled = false;
  const link: Link = {
    cut: () => {
      client.destroy();
      database.destroy();
    },
    reset: () => {
      client.resetAndDestroy();
      database.destroy();
    },
    stall: () => {
      isStalled = true;
    },
    halfClose: () => {
      client.end();
      database.pause();
    },
    hangUp: () => {
      client.pause();
      database.end();
    },
    truncate: (answer, length) => {
      client.end(answer.subarray(0, length));
      database.destroy();
    },
    truncateRequest: (request, length) => {
      database.end(request.subarray(0, length));
      client.destroy();
    },
  };
  const pass = (direction: Direction, from: Socket, to: Socket) => {
    from.on("data", (bytes: Buffer) => {
      if (isStalled || spring(direction, link, bytes)) return;
      if (to.writable) to.write(bytes);
    });
    from.on("end", () => isStalled || to.end());
    // A silent network tells neither side that the other has gone.
    from.on("close", () => isStalled || to.destroy());
    from.on("error", () => {});
  };
  pass("request", client, database);
  pass("answer", database, client);
  return link;
}
