import { expect, test } from "vitest";
import { describeSkipped } from "../_describe_skipped.ts";
import { pgbouncer } from "../runtimes/_pgbouncer.ts";
import { brokenPromises } from "./_broken_promises.ts";
import { failOver } from "./_failover.ts";

const SECONDS = 1;

test("with a synchronous standby, a failover under load loses, doubles and reorders nothing", async () => {
  const report = await failOver({ seconds: SECONDS, mode: "sync" });
  console.log(report);
  expect(brokenPromises(report, { mayLose: false })).toEqual([]);
  expect(report.acknowledgedAfter).toBeGreaterThan(0);
});

test("with an asynchronous standby, what a failover loses is told, and nothing new is passed by", async () => {
  const report = await failOver({ seconds: SECONDS, mode: "async" });
  console.log(report);
  expect(report.lost).toBeGreaterThan(100);
  expect(Object.values(report.timesTold).every((count) => count > 0)).toBe(true);
  expect(brokenPromises(report, { mayLose: true })).toEqual([]);
  expect(report.acknowledgedAfter).toBeGreaterThan(0);
});

const through = "a failover under load behind pgbouncer, which is led to the standby";
if (pgbouncer === undefined) describeSkipped(through, "pgbouncer is not installed");
else {
  const command = pgbouncer;
  test.each(["sync", "async"] as const)(`${through}: %s`, async (mode) => {
    const report = await failOver({ seconds: SECONDS, mode, pgbouncer: command });
    console.log(report);
    expect(brokenPromises(report, { mayLose: mode === "async" })).toEqual([]);
    expect(report.acknowledgedAfter).toBeGreaterThan(0);
  });
}
