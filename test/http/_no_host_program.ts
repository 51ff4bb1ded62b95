/** Answers requests without a host, whose `url` on Bun is a path alone. Prints the statuses. */
import { once } from "node:events";
import { connect } from "node:net";
import postgres from "postgres";
import { gateway } from "../../src/http/gateway.ts";
import { tracedHandler } from "../../src/otel/traced_handler.ts";
import { studio } from "../../src/studio/studio.ts";

// Nothing here asks the database.
const sql = postgres("postgres://nobody@127.0.0.1:1/none");
const plain = gateway(sql, { authorize: () => true });
const handlers = [
  ["/openapi.json", plain],
  ["/openapi.json", tracedHandler(plain)],
  ["/", studio(sql, { authorize: () => true })],
] as const;

const statuses: string[] = [];
for (const [path, fetch] of handlers) {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch });
  const socket = connect(server.port!, "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.0\r\n\r\n`);
  const [answer] = await once(socket, "data");
  statuses.push(String(answer).split(" ")[1]!);
  socket.destroy();
  await server.stop(true);
}
console.log(statuses.join(" "));
