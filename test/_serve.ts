import { createAdaptorServer, type HttpBindings } from "@hono/node-server";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** What a server does with a request; the connection is there to be mistreated. */
export type Handler = (request: Request, connection: HttpBindings) => Response | Promise<Response>;

/** Serves a handler by HTTP on the loopback address, until the test is over; answers where. */
export async function serve(handler: Handler, port = 0): Promise<string> {
  const server = createAdaptorServer({
    fetch: (request, connection) => handler(request, connection as HttpBindings),
  }) as Server;
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  onTestFinished(() => stopServer(server));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function stopServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
