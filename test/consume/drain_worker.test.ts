import {
  type Drained,
  iterateStream,
  readCategory,
  readLastMessage,
  writeBatch,
} from "@messagedb/client";
import type { Miniflare } from "miniflare";
import { expect, onTestFinished, test } from "vitest";
import { pathOf } from "../_path_of.ts";
import { serve } from "../_serve.ts";
import { startWorker } from "../_worker.ts";
import { useDatabase } from "../database.ts";
import { openGateway } from "../runtimes/_gateway.ts";

const db = useDatabase();

interface CronTrigger {
  scheduled(options: { readonly cron: string }): Promise<{ readonly outcome: string }>;
}

async function startConsumer(): Promise<Miniflare> {
  const gateway = await serve(openGateway(db.sql));
  const worker = await startWorker(pathOf("test/consume/_drain_worker.ts"), undefined, {
    GATEWAY: `${gateway}/sql`,
  });
  onTestFinished(() => worker.dispose());
  return worker;
}

async function writeAccounts(count: number): Promise<void> {
  const messages = Array.from({ length: count / 5 }, () => ({ type: "Deposited" }));
  for (let number = 0; number < 5; number++) {
    await writeBatch(db.sql, `account-${number}`, messages);
  }
}

async function expectAllHandledOnce(): Promise<void> {
  const accounts = await readCategory(db.sql, "account", { batchSize: 10_000 });
  const places = accounts.map(({ globalPosition }) => globalPosition);
  const letters: unknown[] = [];
  for await (const { data } of iterateStream(db.sql, "letter-1")) letters.push(data);
  expect(letters).toEqual(places);
  const stored = await readLastMessage(db.sql, "account:position-letters");
  expect(stored?.data).toEqual({ position: places.at(-1) });
}

test("a Worker drains a consumer over a gateway, so many messages a request", async () => {
  await writeAccounts(250);
  const worker = await startConsumer();
  const steps: Drained[] = [];
  while (!steps.at(-1)?.caughtUp) {
    const response = await worker.dispatchFetch("http://worker/");
    expect(response.status, await response.clone().text()).toBe(200);
    steps.push(await response.json() as Drained);
  }
  expect(steps.map(({ handled }) => handled)).toEqual([60, 60, 60, 60, 10]);
  await expectAllHandledOnce();
});

test("a Worker drains a consumer over a gateway, until a deadline, by a cron trigger", async () => {
  // More than fit before the deadline, however fast the machine is: a letter takes 20 ms at least.
  await writeAccounts(100);
  const worker = await startConsumer();
  // Its type is that of another package.
  const trigger = await worker.getWorker() as unknown as CronTrigger;
  const end = (await readCategory(db.sql, "account", { direction: "backward", batchSize: 1 }))[0]!;
  const positionNow = async () => {
    const stored = await readLastMessage<{ position: number }>(db.sql, "account:position-letters");
    return stored?.data.position ?? 0;
  };
  let runs = 0;
  for (let before = -1; await positionNow() < end.globalPosition; runs++) {
    const position = await positionNow();
    expect(position, "each run gets further").toBeGreaterThan(before);
    before = position;
    expect(await trigger.scheduled({ cron: "* * * * *" })).toMatchObject({ outcome: "ok" });
  }
  expect(runs).toBeGreaterThan(1);
  await expectAllHandledOnce();
});
