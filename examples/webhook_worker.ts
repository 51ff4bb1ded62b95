/**
 * Tells a webhook of every payment, as a Cloudflare Worker with a cron trigger and no socket.
 *
 * It needs the variables EVENTS_URL, a gateway's `/sql`, EVENTS_TOKEN, which may read `payment` and
 * write to `payment:position`, `payment:group` and `payment:parked`, and WEBHOOK_URL.
 */
import { drain, type Message } from "@messagedb/client";
import { fetchSql } from "@messagedb/client/fetch";

interface Env {
  readonly EVENTS_URL: string;
  readonly EVENTS_TOKEN: string;
  readonly WEBHOOK_URL: string;
}

interface Worker {
  scheduled(event: unknown, env: Env): Promise<void>;
}

async function tell(url: string, message: Message, signal: AbortSignal): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    // Who is told twice knows it by this: a message is handled at least once.
    headers: { "content-type": "application/json", "idempotency-key": message.id },
    body: JSON.stringify(message),
    signal,
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`The webhook answered ${response.status}`);
}

const worker: Worker = {
  async scheduled(_event, env) {
    const sql = fetchSql(env.EVENTS_URL, {
      headers: { authorization: `Bearer ${env.EVENTS_TOKEN}` },
    });
    const { handled, caughtUp } = await drain(sql, {
      category: "payment",
      consumerId: "webhook",
      batchSize: 100,
      concurrency: 4,
      handle: (message, { signal }) => tell(env.WEBHOOK_URL, message, signal),
      onError: { retry: 2, then: "park" },
      // The next run has a minute of its own.
    }, { deadline: Date.now() + 50_000 });
    console.log(`${handled} payments told${caughtUp ? "" : ", more to come"}`);
  },
};

export default worker;
