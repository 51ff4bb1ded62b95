import { spawn } from "node:child_process";
import process from "node:process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { builtProgram } from "../_program.ts";
import { createDatabase } from "../_server.ts";
import type { Outcome, Settings } from "./environment.ts";
import { suite } from "./suite.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What the suite runs on. */
export type Runtime = "Node" | "Deno" | "Bun" | "workerd" | "edge-runtime" | "Chromium";

const node: Command = [process.execPath, "--import", "tsx"];

const commands: Readonly<Record<Exclude<Runtime, "Node">, Command>> = {
  Deno: [
    "test/node_modules/.bin/deno",
    "run",
    "--allow-all",
    "--no-lock",
    "--node-modules-dir=manual",
    // It finds test/package.json first, where the library's name is not known.
    "--config=deno.json",
    "test/runtimes/run.ts",
  ],
  Bun: ["test/node_modules/.bin/bun", "test/runtimes/run.ts"],
  workerd: [...node, "test/runtimes/run_workerd.ts"],
  "edge-runtime": [...node, "test/runtimes/run_edge_runtime.ts"],
  Chromium: [...node, "test/runtimes/run_chromium.ts"],
};

type Command = readonly [string, ...string[]];

/** Databases made for one run of the suite. */
export interface Databases {
  /** A database with Message DB in it. */
  readonly url: string;
  /** A database without. */
  readonly bareUrl: string;
}

/**
 * Runs the suite in a runtime and registers every behaviour as a test.
 *
 * @param title What is run where.
 * @param runtime What runs the suite.
 * @param connect Says how to connect to the databases; what it passes to `after` runs at the end.
 * @param environment Environment variables of the process.
 * @param refused The behaviours that do not hold, and what comes in their place.
 */
export function describeSuite(
  title: string,
  runtime: Runtime,
  connect: (
    databases: Databases,
    after: (cleanUp: () => Promise<void>) => void,
  ) => Settings | Promise<Settings>,
  environment: Readonly<Record<string, string>> = {},
  refused: Readonly<Record<string, RegExp>> = {},
): void {
  describe(title, () => {
    const cleanUps: (() => Promise<void>)[] = [];
    let outcomes: ReadonlyMap<string, Outcome>;
    let ending: string;

    beforeAll(async () => {
      const origin = inject("databaseOrigin");
      const database = await createDatabase(origin);
      cleanUps.push(database.drop);
      const bare = await createDatabase({ ...origin, template: "template0" });
      cleanUps.push(bare.drop);
      const databases = { url: database.url, bareUrl: bare.url };
      const settings = await connect(databases, (cleanUp) => cleanUps.push(cleanUp));
      const command: Command = runtime === "Node"
        ? [process.execPath, await builtProgram("test/runtimes/run.ts")]
        : commands[runtime];
      ({ outcomes, ending } = await runSuite(command, settings, environment));
    });

    afterAll(async () => {
      for (const cleanUp of cleanUps.reverse()) await cleanUp();
    });

    for (const name of suite) {
      test(name, ({ skip }) => {
        const outcome = outcomes.get(name);
        if (!outcome) throw new Error(`The run did not come to this: ${ending}`);
        if (outcome.skipped !== undefined) skip(outcome.skipped);
        const other = refused[name];
        if (other) return expect(outcome.error).toMatch(other);
        if (outcome.error !== undefined) throw new Error(outcome.error);
      });
    }

    test("the process ends by itself when its handles are closed", () => {
      expect(ending).toBe("exit code 0");
    });
  });
}

/** Runs the suite to its end: what became of each behaviour, and how the process ended. */
async function runSuite(
  [command, ...parameters]: Command,
  settings: Settings,
  environment: Readonly<Record<string, string>>,
): Promise<{ outcomes: ReadonlyMap<string, Outcome>; ending: string }> {
  const child = spawn(command, [...parameters, JSON.stringify(settings)], {
    cwd: root,
    env: { ...process.env, NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [output, errors, ending] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<string>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
    }),
  ]);
  const outcomes = output.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => {
      const outcome: Outcome = JSON.parse(line);
      return [outcome.name, outcome] as const;
    });
  return { outcomes: new Map(outcomes), ending: [ending, errors].join("\n").trim() };
}
