import { PartitionError, type Sql } from "@messagedb/client";
import { expect, test } from "vitest";
import { askPartitions } from "../../src/studio/_ask_partitions.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

test("a partition that answers again while the others are asked is missing, and not forgotten", async () => {
  // Two handles of one database: only who answers when matters here.
  const [first, second] = [db.connect({ max: 1 }), db.connect({ max: 1 })];
  const ask = askPartitions([first, second], () => {});
  const request = new Request("http://studio/");
  const lost = Object.assign(new Error("lost"), { code: "ECONNRESET" });
  await ask.each(async (store) => store === second ? await Promise.reject(lost) : 1, request);
  expect(ask.silent()).toEqual([1]);
  const answered: Sql[] = [];
  const asking = ask.first(async (store) => {
    if (store === first) await expect.poll(() => answered).toEqual([second]);
    await store`select`;
    answered.push(store);
    return null;
  }, request);
  const error = await asking.catch((error) => error);
  expect(error).toBeInstanceOf(PartitionError);
  expect(error).toMatchObject({ reason: "unanswered", partitions: [1], cause: expect.any(Error) });
  expect(ask.silent()).toEqual([]);
});
