import type { Diagnosis } from "@messagedb/client/operate";
import type { Command } from "commander";
import { EXIT_CODE, type ExitCode } from "../terminal/exit_code.ts";
import type { Output } from "../terminal/output.ts";
import { describeFailure } from "../terminal/failure.ts";
import { askStore, type Context, reportError, withServer } from "../terminal/run.ts";
import { openServer, storeAddress, storeServers } from "../terminal/store.ts";
import { printable } from "../terminal/text.ts";
import { type Attempt, tryToConnect } from "../terminal/try_to_connect.ts";

type Shown = Diagnosis | Attempt;

export function defineDoctor(program: Command): void {
  program.command("doctor")
    .description("Find out what is wrong or at risk, what it means, and what to do")
    .action(withServer(async (context) => {
      const { sql, output, place } = context;
      const { diagnose } = await import("@messagedb/client/operate");
      const diagnoses = [...await diagnose(sql), ...place ? await diagnosePlace(context) : []];
      for (const diagnosis of diagnoses) await printShown(output, diagnosis);
      if (!output.isJson) output.note(`\n${summaryOf(diagnoses)}`);
      return exitCodeOfDiagnoses(diagnoses);
    }, {
      goesOn: true,
      report: async (failure, context) => {
        if (failure.exitCode === EXIT_CODE.noStore) await printAttempts(context);
        return await reportError(failure, context);
      },
    }));
}

/** Checks that the database is the partition whose address it has. */
async function diagnosePlace({ options }: Context): Promise<Diagnosis[]> {
  const store = await openServer(options);
  try {
    await askStore(store);
    return [];
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "PARTITION") return [];
    const { text } = describeFailure(error, storeAddress(options));
    const advice = "Give the addresses of all partitions in their order";
    return [{ name: "partition", state: "error", text, advice }];
  } finally {
    await store.end();
  }
}

/** Shows as far as it is possible to get to a server that does not answer, or refuses. */
async function printAttempts({ options, output }: Context): Promise<void> {
  for (const server of storeServers(options)) {
    for (const attempt of await tryToConnect(server)) await printShown(output, attempt);
  }
}

async function printShown(output: Output, shown: Shown): Promise<void> {
  if (output.isJson) return await output.json(shown);
  const { name, state, text, advice } = shown;
  const { cyan, green, red, yellow, dim } = output.colors;
  const [color, mark] = {
    ok: [green, "✓"] as const,
    note: [cyan, "·"] as const,
    warning: [yellow, "!"] as const,
    error: [red, "✗"] as const,
  }[state];
  const words = name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  await output.print(`${color(mark)} ${words.padEnd(13)} ${printable(text)}`);
  if (advice !== null) await output.print(`${" ".repeat(16)}${dim("→")} ${printable(advice)}`);
}

function summaryOf(diagnoses: readonly Diagnosis[]): string {
  const counts = (["error", "warning", "note"] as const).flatMap((wanted) => {
    const { length } = diagnoses.filter(({ state }) => state === wanted);
    return length === 0 ? [] : [`${length} ${wanted}${length === 1 ? "" : "s"}`];
  });
  return counts.length === 0 ? "All is well" : counts.join(", ");
}

function exitCodeOfDiagnoses(diagnoses: readonly Diagnosis[]): ExitCode {
  if (diagnoses.some(({ name, state }) => state === "error" && /^(store|rights)$/.test(name))) {
    return EXIT_CODE.noStore;
  }
  return diagnoses.some(({ state }) => state === "error" || state === "warning")
    ? EXIT_CODE.failed
    : EXIT_CODE.done;
}
