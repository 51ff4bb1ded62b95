/**
 * A guest book as a Cloudflare Worker: POST signs it, GET reads it.
 *
 * It needs the compatibility flag `nodejs_compat` and a Hyperdrive binding of the name HYPERDRIVE.
 */
import { iterateStream, write } from "@messagedb/client";
import postgres from "postgres";

interface Env {
  readonly HYPERDRIVE: { readonly connectionString: string };
}

interface Worker {
  fetch(request: Request, env: Env): Promise<Response>;
}

const worker: Worker = {
  async fetch(request, env) {
    // A connection belongs to the request that opened it.
    const sql = postgres(env.HYPERDRIVE.connectionString, { max: 1, fetch_types: false });
    try {
      if (request.method === "POST") {
        const data = { name: await request.text() };
        // A client that is not sure whether it has signed sends the same id again.
        const id = request.headers.get("idempotency-key") ?? undefined;
        const position = await write(sql, "guestBook-1", { type: "Signed", data, id });
        return Response.json({ position }, { status: 201 });
      }
      const names: string[] = [];
      const latest = { direction: "backward", limit: 10 } as const;
      for await (const { data } of iterateStream<{ name: string }>(sql, "guestBook-1", latest)) {
        names.push(data.name);
      }
      return Response.json(names);
    } finally {
      await sql.end();
    }
  },
};

export default worker;
