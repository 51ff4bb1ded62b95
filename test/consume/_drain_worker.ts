/** A consumer as a Worker: over a gateway, in steps, and with nothing kept between them. */
import { drain, type Drained, type DrainOptions, type Message, write } from "@messagedb/client";
import type { HandlerContext } from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";

interface Env {
  readonly GATEWAY: string;
}

interface Worker {
  fetch(request: Request, env: Env): Promise<Response>;
  scheduled(event: unknown, env: Env): Promise<void>;
}

/**
 * Writes a letter for each message; as often as it does so for the same one, as many letters.
 *
 * @param pause How long each letter takes at least, in milliseconds.
 */
function writeLetters(env: Env, options: DrainOptions, pause = 0): Promise<Drained> {
  return drain(fetchSql(env.GATEWAY), {
    category: "account",
    consumerId: "letters",
    batchSize: 25,
    handle: async ({ globalPosition }: Message, { sql }: HandlerContext) => {
      await write(sql, "letter-1", { type: "Sent", data: globalPosition });
      if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
    },
  }, options);
}

const worker: Worker = {
  fetch: async (_, env) => Response.json(await writeLetters(env, { limit: 60 })),
  scheduled: async (_, env) => {
    await writeLetters(env, { deadline: Date.now() + 1000 }, 20);
  },
};

export default worker;
