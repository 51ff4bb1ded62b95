/** The names are those of OpenTelemetry's semantic conventions, of the version that is said. */
import * as client from "@messagedb/client";
import { traced } from "@messagedb/client/otel";
import * as conventions from "@opentelemetry/semantic-conventions/incubating";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import {
  ATTRIBUTE,
  CONVENTIONS,
  METRIC,
  OWN_ATTRIBUTE,
  OWN_METRIC,
} from "../../src/otel/_conventions.ts";
import { operations, programs } from "../_operations.ts";
import { pathOf } from "../_path_of.ts";
import { useDatabase } from "../database.ts";
import { startSdk } from "./_sdk.ts";

const db = useDatabase();
const PACKAGE = "node_modules/@opentelemetry/semantic-conventions";

/** The names that the package declares, but for those that others have replaced. */
async function currentNames(stability: "stable" | "experimental"): Promise<Set<string>> {
  const names = new Set<string>();
  for (const kind of ["attributes", "metrics"]) {
    const text = await readFile(pathOf(`${PACKAGE}/dist/${stability}_${kind}.d.mts`), "utf8");
    for (const declaration of text.split("/**").slice(1)) {
      const [, name] = /^declare const (?:ATTR|METRIC)_\w+: "(.+)";$/m.exec(declaration) ?? [];
      if (name !== undefined && !declaration.includes("@deprecated")) names.add(name);
    }
  }
  return names;
}

const stable = await currentNames("stable");
const current = new Set([...stable, ...await currentNames("experimental")]);

test("names are those of the conventions, and none that they have replaced", () => {
  expect(current.size).toBeGreaterThan(500);
  expect(current).not.toContain("messaging.publish.messages");
  for (const name of Object.values(ATTRIBUTE)) expect(current).toContain(name);
  for (const name of Object.values(METRIC)) expect(current).toContain(name);
  expect(conventions.DB_SYSTEM_NAME_VALUE_POSTGRESQL).toBe("postgresql");
  const types = ["SEND", "RECEIVE", "PROCESS", "SETTLE"].map((it) =>
    conventions[`MESSAGING_OPERATION_TYPE_VALUE_${it}` as keyof typeof conventions]
  );
  expect(types).toEqual(["send", "receive", "process", "settle"]);
});

test("names are stable, but for those of messaging, and names of our own are none of the conventions", () => {
  for (const name of [...Object.values(ATTRIBUTE), ...Object.values(METRIC)]) {
    expect(stable.has(name), name).toBe(!name.startsWith("messaging."));
  }
  for (const name of [...Object.values(OWN_ATTRIBUTE), ...Object.values(OWN_METRIC)]) {
    expect(name).toMatch(/^messagedb\./);
  }
});

test("the version of the conventions is the one whose names are checked, and the page says so", async () => {
  const { version } = JSON.parse(await readFile(pathOf(`${PACKAGE}/package.json`), "utf8"));
  expect(CONVENTIONS).toBe(version);
  const page = await readFile(pathOf("docs/operate/telemetry.md"), "utf8");
  const source = await readFile(pathOf("src/otel/traced.ts"), "utf8");
  for (const text of [page, source]) expect(text).toContain(`version ${version}`);
});

test("spans and metrics of all operations have no other attributes", async () => {
  const { tracer, meter, spans, metrics } = startSdk();
  const sql = traced(db.sql, { tracer, meter });
  await client.write(db.sql, "known-1", { type: "Known" });
  for (const run of [...Object.values(operations), ...Object.values(programs)]) await run(sql);
  await client.write(sql, "known-1", { type: "Known" }, { expectedVersion: 77 }).catch(() => {});
  const recorded = await metrics();
  const used = new Set([
    ...spans().flatMap(({ attributes }) => Object.keys(attributes)),
    ...recorded.flatMap(({ dataPoints }) =>
      dataPoints.flatMap(({ attributes }) => Object.keys(attributes))
    ),
  ]);
  const known = new Set<string>([...Object.values(ATTRIBUTE), ...Object.values(OWN_ATTRIBUTE)]);
  expect(used.size).toBeGreaterThan(12);
  expect([...used].filter((name) => !known.has(name))).toEqual([]);
  const typed = recorded.filter(({ dataPoints }) =>
    dataPoints.some(({ attributes }) => ATTRIBUTE.operationType in attributes)
  );
  expect(typed.map(({ descriptor }) => descriptor.name)).toEqual([METRIC.operationDuration]);
});
