import postgres from "postgres";
import { openGateway } from "./_gateway.ts";

interface Env {
  readonly HYPERDRIVE: { readonly connectionString: string };
}

interface Worker {
  fetch(request: Request, env: Env): Promise<Response>;
}

/** A gateway on workerd. */
const worker: Worker = {
  async fetch(request, { HYPERDRIVE }) {
    // A connection belongs to the request that opened it.
    const sql = postgres(HYPERDRIVE.connectionString, { max: 1, fetch_types: false });
    try {
      return await openGateway(sql)(request);
    } finally {
      await sql.end();
    }
  },
};

export default worker;
