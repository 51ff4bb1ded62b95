import type { ConsumerHealth, ConsumerStatus } from "@messagedb/client/operate";
import type { Command } from "commander";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import {
  consumerText,
  memberText,
  noneStored,
  partitionColumn,
  partitionOption,
  shellArgument,
  wholeKey,
  wholeStream,
} from "../terminal/consumer_name.ts";
import type { Colors, Output } from "../terminal/output.ts";
import { withPostgres } from "../terminal/run.ts";
import {
  type Column,
  counted,
  countText,
  printable,
  spanText,
  tableLines,
} from "../terminal/text.ts";

/** How long to wait before the next look, in milliseconds. */
const WATCH_INTERVAL = 2000;
/** Trouble is on top. */
const HEALTHS: readonly ConsumerHealth[] = ["stuck", "stopped", "busy", "idle", "replaced"];
/** Of how many consumers in trouble it is said what to do. */
const MOST_HINTS = 5;
/** The commands of the hints are so wide, if they are shorter. */
const HINT_WIDTH = 60;

export function defineConsumers(program: Command): void {
  program.command("consumers")
    .description("Print where consumers are, how far behind, and how they are")
    .argument("[category]", "only consumers of this category, aggregate, or '$all'")
    .option("--watch", "look again every 2 seconds, until Ctrl-C")
    .action(
      withPostgres(async (
        { sql, output, signal, options },
        category: string | undefined,
        { watch }: { readonly watch?: boolean },
      ) => {
        const { consumers } = await import("@messagedb/client/operate");
        const { partition } = options;
        const look = async () => (await consumers(sql, { category })).sort(byTrouble);
        if (watch) return await watchConsumers(look, { output, signal, category, partition });
        const all = await look();
        await output.table(consumerColumns(all, output.colors), all);
        if (output.isJson) return;
        if (all.length === 0) output.note(`${noneStored(category)}.`);
        for (const line of hintsFor(all, { category, partition })) output.note(line);
      }),
    );
}

/** What a look is at. */
interface LookedAt {
  readonly category: string | undefined;
  /** The partition that is picked. */
  readonly partition: number | undefined;
}

async function watchConsumers(
  look: () => Promise<ConsumerStatus[]>,
  { output, signal, ...looked }: LookedAt & {
    readonly output: Output;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const draw = output.isTerminal && !output.isJson ? drawInPlace() : undefined;
  let isFirst = true;
  while (!signal.aborted) {
    try {
      const all = await look();
      if (output.isJson) {
        const time = new Date();
        for (const it of all) await output.json({ time, ...it });
      } else {
        const [titles, ...lines] = await tableLines(consumerColumns(all, output.colors), all);
        const table = [output.colors.bold(titles!), ...lines];
        if (draw) draw([...table, ...hintsFor(all, looked)]);
        else for (const line of [...isFirst ? [] : [""], ...table]) await output.print(line);
      }
    } catch (error) {
      if (isFirst) throw error;
      // The database may be away for a while.
      const sentence = `retrying: ${(error as Error).message}`;
      if (draw) draw([sentence]);
      else output.note(sentence);
    }
    isFirst = false;
    await sleep(WATCH_INTERVAL, undefined, { signal }).catch(() => {});
  }
}

/** Makes the function that puts lines in the place of those before, as many as the terminal has room for. */
function drawInPlace(): (lines: readonly string[]) => void {
  const { stdout } = process;
  let drawn = 0;
  return (lines) => {
    const room = Math.max((stdout.rows ?? 24) - 1, 2);
    const shown = lines.length <= room
      ? lines
      : [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`];
    const up = drawn === 0 ? "" : `\x1b[${drawn}A`;
    // Without the wrap, a line of the text is a line of the terminal.
    stdout.write(`\x1b[?7l${up}\r\x1b[J${shown.join("\n")}\n\x1b[?7h`);
    drawn = shown.length;
  };
}

function byTrouble(one: ConsumerStatus, other: ConsumerStatus): number {
  return HEALTHS.indexOf(one.health) - HEALTHS.indexOf(other.health) ||
    (other.oldestAge ?? 0) - (one.oldestAge ?? 0) ||
    other.parked - one.parked;
}

function consumerColumns(
  all: readonly ConsumerStatus[],
  colors: Colors,
): Column<ConsumerStatus>[] {
  const { red, yellow, green, cyan, dim } = colors;
  const paint = { stuck: red, stopped: red, busy: cyan, idle: green, replaced: dim };
  const atLeast = (count: number, isMore: boolean) => `${countText(count)}${isMore ? "+" : ""}`;
  const now = Date.now();
  const group: Column<ConsumerStatus> = {
    title: "member",
    of: ({ consumerGroup: it }) => it === undefined ? "" : `${it.member} of ${it.size}`,
  };
  return [
    { title: "consumer", of: ({ consumerId }) => printable(consumerId ?? "(aggregate)") },
    { title: "category", of: ({ category, aggregate }) => printable(category ?? aggregate!) },
    ...partitionColumn(all),
    ...all.some(({ consumerGroup }) => consumerGroup !== undefined) ? [group] : [],
    { title: "health", of: ({ health }) => paint[health](health) },
    { title: "behind", isNumber: true, of: (it) => atLeast(it.behind, it.isBehindMore) },
    {
      title: "oldest",
      isNumber: true,
      of: ({ oldestAge }) => oldestAge === null ? "" : spanText(oldestAge),
    },
    { title: "position", isNumber: true, of: ({ position }) => String(position) },
    { title: "head", isNumber: true, of: ({ head }) => String(head) },
    { title: "moved", isNumber: true, of: (it) => `${spanText(now - Number(it.movedAt))} ago` },
    { title: "owner", of: ({ owner }) => owner === null ? "" : printable(owner.slice(0, 8)) },
    {
      title: "parked",
      isNumber: true,
      of: ({ parked, isParkedMore }) => parked === 0 ? "" : yellow(atLeast(parked, isParkedMore)),
    },
  ];
}

/** What to do next about the consumers that are in trouble, each once, and about what is parked. */
function hintsFor(
  all: readonly ConsumerStatus[],
  { category, partition }: LookedAt,
): string[] {
  const troubled = firstOfEach(all, ({ health }) => health === "stuck" || health === "stopped");
  const parking = firstOfEach(all, ({ parked }) => parked > 0);
  const more = troubled.length - MOST_HINTS;
  const narrower = category === undefined ? ":  messagedb consumers CATEGORY" : "";
  const hints = [
    ...troubled.slice(0, MOST_HINTS).map((it) => troubleHint(it, partition)),
    ...more > 0 ? [`… and ${countText(more)} more${narrower}`] : [],
    ...parking.length === 1 ? [parkedHint(parking[0]!, partition)] : [],
    ...parking.length > 1
      ? [
        `${countText(parking.length)} consumers have parked messages:  messagedb parked list${
          partitionOption(partition)
        }`,
      ]
      : [],
  ];
  return hints.flatMap((hint) => ["", ...hint.split("\n")]);
}

/** The consumers for which this is so; of a group, the first member. */
function firstOfEach(
  all: readonly ConsumerStatus[],
  isSo: (status: ConsumerStatus) => boolean,
): ConsumerStatus[] {
  const found = new Map<string, ConsumerStatus>();
  for (const it of all.filter(isSo)) {
    const key = wholeKey(it);
    if (!found.has(key)) found.set(key, it);
  }
  return [...found.values()];
}

function troubleHint(status: ConsumerStatus, picked: number | undefined): string {
  const { streamName, category, health, heldSince, oldestAge, consumerId, isAsked } = status;
  const subject = memberText(status);
  const there = partitionOption(status.partition ?? picked);
  const waits = oldestAge === null
    ? "messages wait"
    : `a message has waited ${spanText(oldestAge)}`;
  const held = heldSince && spanText(Date.now() - Number(heldSince));
  const sentence = health === "stuck"
    ? `${subject} is stuck: ${waits}, and the process that has held it for ${held} does not get on. ` +
      (isAsked
        ? "Another process has asked for it, and takes over within 30 s if that process is gone."
        : "If that process is gone, start it.")
    : `${subject} has stopped: ${waits}, and no process holds it. Start it. If it stops again, its log ` +
      "names the message that fails.";
  return [
    sentence,
    // A consumer of a category does not wait for transactions.
    ...category === undefined || category === "$all"
      ? [hintLine(`doctor${there}`, "which transaction holds it up")]
      : [],
    ...consumerId === null
      ? []
      : [hintLine(`park ${shellArgument(streamName)} --dry-run${there}`, "which message is next")],
  ].join("\n");
}

function parkedHint(status: ConsumerStatus, picked: number | undefined): string {
  const name = shellArgument(wholeStream(status));
  return `${consumerText(status)} has parked ${counted(status.parked, "message")}.\n` +
    hintLine(`parked list ${name}${partitionOption(status.partition ?? picked)}`, "which, and why");
}

function hintLine(command: string, answers: string): string {
  return `  messagedb ${command}`.padEnd(HINT_WIDTH) + `  # ${answers}`;
}
