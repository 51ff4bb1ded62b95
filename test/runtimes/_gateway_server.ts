import { once } from "node:events";
import type { AddressInfo } from "node:net";
import postgres from "postgres";
import { openGateway } from "./_gateway.ts";
import type { Settings } from "./environment.ts";

/** A gateway that runs. */
export interface GatewayServer {
  readonly port: number;
  readonly origin: string;
  readonly stop: () => Promise<void>;
}

/** How to serve a gateway. */
export interface GatewayServerOptions {
  /** @default one that is free */
  readonly port?: number;
  /** The origins of pages that may use it. */
  readonly cors?: readonly string[];
}

type Handler = (request: Request) => Promise<Response>;

// Not the types of Deno and Bun: they would put their globals into every file of the project.
declare const Deno: {
  serve(
    options: { hostname: string; port: number; onListen: () => void },
    handler: Handler,
  ): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
};
declare const Bun: {
  serve(options: { hostname: string; port: number; fetch: Handler }): {
    readonly port: number;
    stop(closeActiveConnections: boolean): Promise<void>;
  };
};

/** Starts a gateway over a database, on this machine, with the server of the runtime it is in. */
export async function startGateway(
  databaseUrl: string,
  { port = 0, cors = [] }: GatewayServerOptions = {},
): Promise<GatewayServer> {
  const sql = postgres(databaseUrl, { max: 10, onnotice: () => {} });
  const server = await serve(openGateway(sql, { cors }), port);
  return {
    port: server.port,
    origin: `http://127.0.0.1:${server.port}`,
    stop: async () => {
      await server.stop();
      await sql.end();
    },
  };
}

/** Gateways that run. */
export interface Gateways {
  /** The settings, with the addresses of the gateways for those of the databases. */
  readonly addresses: Settings;
  readonly stop: () => Promise<void>;
}

/** Starts gateways over the databases of the settings. */
export async function startGateways(
  settings: Settings,
  options?: GatewayServerOptions,
): Promise<Gateways> {
  const [gateway, bare] = await Promise.all([
    startGateway(settings.url, options),
    startGateway(settings.bareUrl, options),
  ]);
  return {
    addresses: { ...settings, url: `${gateway.origin}/sql`, bareUrl: `${bare.origin}/sql` },
    stop: async () => {
      await Promise.all([gateway.stop(), bare.stop()]);
    },
  };
}

async function serve(handler: Handler, port: number): Promise<Omit<GatewayServer, "origin">> {
  const hostname = "127.0.0.1";
  if ("Deno" in globalThis) {
    const server = Deno.serve({ hostname, port, onListen: () => {} }, handler);
    return { port: server.addr.port, stop: () => server.shutdown() };
  }
  if ("Bun" in globalThis) {
    const server = Bun.serve({ hostname, port, fetch: handler });
    return { port: server.port, stop: () => server.stop(true) };
  }
  const { createServer } = await import("node:http");
  const { getRequestListener } = await import("@hono/node-server");
  const server = createServer(getRequestListener(handler)).listen(port, hostname);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}
