/**
 * The gateway as a Cloudflare Worker.
 *
 * Who has a token may read everything, and write to the categories that TOKENS names for it. It needs
 * the compatibility flag `nodejs_compat`, a Hyperdrive binding of the name HYPERDRIVE, and the secret
 * TOKENS: `{"a-token": ["order", "payment"]}`.
 */
import { gateway, type GatewayCall } from "@messagedb/client/gateway";
import postgres from "postgres";

interface Env {
  readonly HYPERDRIVE: { readonly connectionString: string };
  readonly TOKENS: string;
}

interface Worker {
  fetch(request: Request, env: Env): Promise<Response>;
}

function authorizer(env: Env): (request: Request, call: GatewayCall) => boolean {
  const tokens: Record<string, string[]> = JSON.parse(env.TOKENS);
  const categoriesOf = new Map(Object.entries(tokens));
  return (request, { operation, writes, category }) => {
    const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
    const categories = categoriesOf.get(token);
    if (!categories) return false;
    if (!writes) return true;
    // An import chooses the time of its messages: nobody has that right here.
    return operation !== "importMessages" && category !== undefined &&
      categories.includes(category);
  };
}

const worker: Worker = {
  fetch(request, env) {
    // A connection belongs to the request that opened it, and the runtime closes it when the answer
    // is over, or within seconds of its client's leaving. To end it here would end live answers.
    const sql = postgres(env.HYPERDRIVE.connectionString, { max: 1, fetch_types: false });
    return gateway(sql, { authorize: authorizer(env) })(request);
  },
};

export default worker;
