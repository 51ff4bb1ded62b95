import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { CommandError } from "./exit_code.ts";

/** A server that listens, and where. */
export interface Listening {
  readonly server: Server;
  readonly host: string;
  readonly port: number;
  /** Its address, without a slash at the end: `http://127.0.0.1:8000`. */
  readonly url: string;
}

/** Answers the requests that come to a port with a function of the Fetch API; port 0 is any that is free. */
export async function listenOn(
  host: string,
  port: number,
  handle: (request: Request) => Promise<Response>,
): Promise<Listening> {
  const { createAdaptorServer } = await import("@hono/node-server");
  const server = createAdaptorServer({ fetch: handle, overrideGlobalObjects: false }) as Server;
  const listening = once(server, "listening");
  server.listen(port, host);
  await listening.catch((error: NodeJS.ErrnoException) => {
    throw new CommandError(`Cannot listen on ${host}:${port}: ${reasonOf(error)}`);
  });
  const { family, ...own } = server.address() as AddressInfo;
  const name = family === "IPv6" ? `[${own.address}]` : own.address;
  return { server, host: own.address, port: own.port, url: `http://${name}:${own.port}` };
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case "EADDRINUSE":
      return "another program listens there: give another --port";
    case "EACCES":
      return "this user has no right to: give a --port from 1024 up";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "this machine has no such address: give another --host";
    default:
      return message;
  }
}
