import process from "node:process";
import { createInterface } from "node:readline/promises";
import { badUse, CommandError, EXIT_CODE } from "./exit_code.ts";
import type { Context } from "./run.ts";

/** Options of a command that destroys. */
export interface ConfirmOptions {
  readonly yes?: boolean | undefined;
}

/**
 * Asks before what can't be undone; throws unless the answer is yes, or `--yes` was given. Where nobody can be
 * asked, `--yes` is needed.
 */
export async function confirm(
  question: string,
  { yes }: ConfirmOptions,
  { signal }: Pick<Context, "signal">,
): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) {
    throw badUse(`${question} Nobody can be asked here: give --yes, or look first with --dry-run`);
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal }).catch(() => {
      // Ctrl-C or Ctrl-D, at the question.
      terminal.write("\n");
      throw new CommandError("Nothing was changed", EXIT_CODE.interrupted);
    });
    if (!/^y(es)?$/i.test(answer.trim())) {
      throw new CommandError("Nothing was changed", EXIT_CODE.failed);
    }
  } finally {
    terminal.close();
  }
}
