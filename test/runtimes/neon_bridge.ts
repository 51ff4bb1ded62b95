import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import pg from "pg";

/** A running bridge. */
export interface NeonBridge {
  /** What `neonConfig.fetchEndpoint` is to be set to. */
  readonly endpoint: string;
  readonly close: () => Promise<void>;
}

// Neon answers every value as Postgres wrote it, and leaves the reading to the driver.
const asText = { getTypeParser: () => (text: string | Uint8Array) => text };

/**
 * Starts a server that speaks the HTTP protocol of Neon's serverless driver, over the PostgreSQL
 * that each request's `Neon-Connection-String` names: one statement a request, in autocommit.
 */
export async function startNeonBridge(): Promise<NeonBridge> {
  const pools = new Map<string, pg.Pool>();
  const poolOf = (connectionString: string): pg.Pool => {
    const pool = pools.get(connectionString) ??
      new pg.Pool({ connectionString, max: 10 });
    pools.set(connectionString, pool);
    return pool;
  };

  const server = createServer(async (request, response) => {
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    try {
      const { query, params } = JSON.parse(await bodyOf(request));
      const { command, rowCount, fields, rows } = await poolOf(
        String(request.headers["neon-connection-string"]),
      ).query({
        text: query,
        values: params,
        types: asText,
        ...(request.headers["neon-array-mode"] === "true" && { rowMode: "array" }),
      });
      answer(200, { command, rowCount, fields, rows });
    } catch (error) {
      // Neon's error holds the fields of Postgres's, under the names `pg` gives them.
      const { message } = error as Error;
      answer(400, { ...error as Error, message });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}/sql`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await Promise.all([...pools.values()].map((pool) => pool.end()));
    },
  };
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}
