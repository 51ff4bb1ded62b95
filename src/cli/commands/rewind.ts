import type { PlannedMember, RewindPlan, StartAt } from "@messagedb/client/operate";
import { type Command, InvalidArgumentError } from "commander";
import { moment } from "../terminal/arguments.ts";
import { confirm, type ConfirmOptions } from "../terminal/confirm.ts";
import {
  CONSUMER_HELP,
  consumerText,
  findConsumer,
  takeUpText,
} from "../terminal/consumer_name.ts";
import { badUse } from "../terminal/exit_code.ts";
import { withPostgres } from "../terminal/run.ts";
import { counted, countText, printable } from "../terminal/text.ts";

interface RewindOptions extends ConfirmOptions {
  readonly to: StartAt;
  readonly dryRun?: boolean;
}

export function defineRewind(program: Command): void {
  program.command("rewind")
    .description("Set the position of a consumer, back or forward")
    .argument("<consumer>", CONSUMER_HELP)
    .requiredOption(
      "--to <where>",
      "a global position (the first to handle), beginning, end, 2h ago, or 2026-01-31T12:00Z",
      startPlace,
    )
    .option("--dry-run", "print what would change, and change nothing")
    .option("--yes", "do not ask")
    .action(
      withPostgres(async (
        { sql: whole, output, signal },
        name: string,
        { to, dryRun, yes }: RewindOptions,
      ) => {
        const { planRewind, rewind } = await import("@messagedb/client/operate");
        const { identity, streamName, store: sql } = await findConsumer(whole, name);
        if (name !== streamName && name !== identity.consumerId) {
          throw badUse(`All members of a group are rewound: name the consumer, ${streamName}`);
        }
        const consumer = consumerText(identity);
        const plan = await planRewind(sql, identity, to);
        if (dryRun && output.isJson) return await output.json(plan);
        const lines = rewindLines(plan);
        if (dryRun) {
          for (const line of lines) await output.print(line);
          return output.note("Nothing was changed.");
        }
        if (!yes) { for (const line of lines) output.note(line); }
        await confirm(`Set the position of ${consumer}?`, { yes }, { signal });
        // A time is looked up once: what was asked about is what is done.
        await rewind(sql, identity, plan.position);
        if (output.isJson) return await output.json(plan);
        await output.print(`${consumer} goes on at ${plan.position}`);
        output.note(takeUpText(plan.members));
      }),
    );
}

function startPlace(value: string): StartAt {
  if (value === "beginning" || value === "end") return value;
  if (/^\d+$/.test(value) && Number.isSafeInteger(Number(value))) return Number(value);
  try {
    return moment(value);
  } catch {
    throw new InvalidArgumentError(
      "Give a global position, beginning, end, how long ago (2h, 7d) or a time (2026-01-31T12:00Z).",
    );
  }
}

function rewindLines({ position, members }: RewindPlan): string[] {
  const { parked } = members[0]!;
  return [
    ...members.map((it) => describeMember(it, position)),
    ...parked > 0 && members.some(({ again }) => again > 0)
      ? [`${countText(parked)} parked stay parked: discard those that are handled again.`]
      : [],
  ];
}

function describeMember(
  { streamName, from, again, never, isMore }: PlannedMember,
  position: number,
): string {
  const least = isMore ? "at least " : "";
  const effect = never > 0
    ? `${least}${counted(never, "message")} never handled`
    : `${least}${counted(again, "message")} handled again`;
  return `${printable(streamName)}: goes on at ${position} instead of ${from + 1}: ${effect}`;
}
