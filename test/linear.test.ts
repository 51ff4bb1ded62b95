/**
 * Nothing that is given takes time by the square of its length: a long text of the worst kind takes milliseconds
 * where the work is linear, and from minutes to an hour where it is not. So a process that is still at it after
 * minutes has found such a place, and a slow machine has not.
 */
import fc from "fast-check";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import ts from "typescript";
import { describe, expect, onTestFinished, test } from "vitest";
import { OWN } from "../src/names/_own_streams.ts";
import { pathOf } from "./_path_of.ts";
import { PATIENCE } from "./_until.ts";

/** Long enough for an expression that is not linear to take the whole of the watchdog's patience. */
const LENGTH = 200_000;

interface Expression {
  readonly place: string;
  readonly source: string;
  readonly flags: string;
}

/** Expressions that are made of a template: their sources. */
const MADE: Readonly<Record<string, readonly string[]>> = {
  "`^[^-]*[:+](${kinds})-`": OWN.map(({ streams }) => streams.source),
  "`${HIDDEN.source}|\\\\p{Zs}`": [String.raw`\p{Zs}`],
  "`^${types}$`": OWN.map(({ types }) => types.source),
  "`(?<![\\\\w.])${schema}(?!\\\\w)`": [String.raw`(?<![\w.])message_store(?!\w)`],
};

/** Every regular expression of `src`. */
function expressionsOf(file: string): Expression[] {
  const text = readFileSync(pathOf(`src/${file}`), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.ESNext, true);
  const found: Expression[] = [];
  const visit = (node: ts.Node): void => {
    const place = `src/${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`;
    if (ts.isRegularExpressionLiteral(node)) {
      const end = node.text.lastIndexOf("/");
      found.push({ place, source: node.text.slice(1, end), flags: node.text.slice(end + 1) });
    } else if (
      (ts.isNewExpression(node) || ts.isCallExpression(node)) &&
      node.expression.getText() === "RegExp"
    ) {
      const template = node.arguments![0]!.getText();
      expect(Object.keys(MADE), `${place} is made of a template that this test knows`)
        .toContain(template);
      found.push(...MADE[template]!.map((source) => ({ place, source, flags: "s" })));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Texts that an expression matches, or nearly. */
function samplesOf({ source, flags }: Expression): string[] {
  const plain = source
    .replaceAll(/\(\?<?!.*?\)/g, "").replaceAll(/\(\?<?=/g, "(?:").replaceAll(/\\1|\\b/g, "")
    .replaceAll(/\\0|\\p\{(Surrogate|Cs)\}/g, "x");
  const matching = fc.stringMatching(new RegExp(plain, flags.includes("u") ? "u" : ""));
  return fc.sample(matching, { seed: 1, numRuns: 4 }).map((it) => it.slice(0, 60));
}

/** What repeats a part of a sample: each beginning of it, and each of its characters after each beginning. */
const ATTACK = `
  const { parentPort, workerData: { length, expressions } } = require("node:worker_threads");
  for (const { source, flags, samples, place } of expressions) {
    parentPort.postMessage(place);
    const expression = new RegExp(source, flags);
    const attacks = new Map();
    const attack = (start, repeated, end) =>
      attacks.set(JSON.stringify([start, repeated, end]), (length) =>
        start + repeated.repeat(length / repeated.length) + end);
    for (const repeated of ["0", "1", " ", "\\\\", '"', "-", "+", ":", "a", "\\n"]) {
      for (const end of ["", "1", "\\n!"]) attack("", repeated, end);
    }
    for (const sample of samples) {
      for (let at = 1; at <= sample.length; at++) {
        attack("", sample.slice(0, at), "\\n!");
        attack(sample.slice(0, at), sample[at - 1], "\\n!");
        attack(sample.slice(0, at), sample[at - 1], sample.slice(at, at + 1) + "!");
      }
    }
    for (const make of attacks.values()) {
      const run = (length) => {
        const text = make(length);
        const start = performance.now();
        expression.lastIndex = 0;
        text.replace(expression, "");
        expression.lastIndex = 0;
        expression.test(text);
        return performance.now() - start;
      };
      // What is not linear takes a hundred times as long already.
      if (run(length / 10) > 2) run(length);
    }
  }
  parentPort.postMessage("done");`;

/** Waits for the work, and gives it up in the end. */
async function withPatience(work: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  const watchdog = sleep(PATIENCE, undefined, { signal: over.signal }).catch(() => {});
  await Promise.race([work, watchdog]);
  over.abort();
}

async function lastPlaceOf(expressions: readonly Expression[]): Promise<string> {
  const workerData = {
    length: LENGTH,
    expressions: expressions.map((it) => ({ ...it, samples: samplesOf(it) })),
  };
  const worker = new Worker(ATTACK, { eval: true, workerData });
  let place = "";
  worker.on("message", (message) => place = message);
  await withPatience(once(worker, "exit"));
  await worker.terminate();
  return place;
}

test("no regular expression of src takes more than linear time", async () => {
  const files = readdirSync(pathOf("src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"));
  const expressions = files.flatMap(expressionsOf);
  expect(expressions.length).toBeGreaterThan(30);
  expect(await lastPlaceOf(expressions)).toBe("done");
});

/** Each place that is given text by others: test/_megabytes.ts has what is done there. */
describe("a megabyte of the worst kind is soon done with", () => {
  test.each(["gateway", "fetchSql", "names", "messages"])("by %s", async (place) => {
    const child = spawn(process.execPath, ["--import", "tsx", "test/_megabytes.ts", place], {
      cwd: pathOf("."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let output = "";
    child.stdout.on("data", (chunk) => output += chunk);
    await withPatience(once(child, "close"));
    expect(output.trim().split("\n").at(-1), "what it was at").toBe("done");
  });
});
