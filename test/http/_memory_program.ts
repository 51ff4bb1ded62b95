// Asks a gateway once for one message of a megabyte, 250 times: `node --import tsx _memory_program.ts URL ID LIMIT`.
// Prints the status of the answer, and by how many bytes the process has grown for it at most.
import process from "node:process";
import postgres from "postgres";
import { readMessages, type Sql } from "../../mod.ts";
import { gateway } from "../../src/http/gateway.ts";

const [url, id, limit] = process.argv.slice(2) as [string, string, string];
const sql = postgres(url, { max: 1, onnotice() {} });
const handle = gateway(sql, {
  authorize: () => true,
  maxBatchSize: 250,
  maxAnswerBytes: Number(limit),
});

/** The statement that a client sends to read these messages. */
async function statementFor(ids: readonly string[]): Promise<unknown> {
  return await new Promise((resolve) => {
    const taking: Sql = (strings, ...params) => {
      const query = strings.reduce((text, part, at) => `${text}$${at}${part}`);
      resolve({ query, params });
      return new Promise(() => {});
    };
    void readMessages(taking, ids);
  });
}

async function ask(count: number): Promise<number> {
  const response = await handle(
    new Request("http://gateway.test/sql", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(await statementFor(Array(count).fill(id))),
    }),
  );
  await response.arrayBuffer();
  return response.status;
}

await ask(1);
const before = process.memoryUsage().rss;
let most = before;
const look = () => most = Math.max(most, process.memoryUsage().rss);
const timer = setInterval(look, 5);
const status = await ask(250);
look();
clearInterval(timer);
console.log(JSON.stringify({ status, grown: most - before }));
await sql.end();
