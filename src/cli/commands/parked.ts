import type { Message } from "@messagedb/client";
import type { ConsumerIdentity, ParkedMessage, Sql } from "@messagedb/client/operate";
import type { Command } from "commander";
import process from "node:process";
import { collect, wholeNumber } from "../terminal/arguments.ts";
import { confirm, type ConfirmOptions } from "../terminal/confirm.ts";
import {
  CONSUMER_HELP,
  consumerText,
  findConsumer,
  partitionColumn,
  partitionOption,
  shellArgument,
  wholeKey,
  wholeStream,
} from "../terminal/consumer_name.ts";
import { badUse, CommandError, EXIT_CODE } from "../terminal/exit_code.ts";
import { loadConsumer, type PostgresConsumer } from "../terminal/handler_module.ts";
import { printMessage } from "../terminal/message_lines.ts";
import type { Output } from "../terminal/output.ts";
import { withPostgres } from "../terminal/run.ts";
import { counted, countText, printable, spanText, timeText } from "../terminal/text.ts";
import { messageText } from "./park.ts";

/** How many characters of an error the list shows. */
const ERROR_WIDTH = 50;
const PARKED_PAGE = 1000;
/** How long the command may take to end after a replay, in milliseconds: the driver may take a second. */
const LONGEST_END = 3000;
const MESSAGES_HELP = "their ids or global positions";

/** A parked message, and the stream of its consumer's position. */
interface ParkedOf extends ParkedMessage {
  /** The partition that has it, in a list of all. */
  readonly partition?: number;
  readonly consumer: string;
}

export function defineParked(program: Command): void {
  const group = program.command("parked")
    .description("Print, replay and discard what consumers have parked (dead letters)")
    .helpCommand(false);
  defineList(group);
  defineShow(group);
  defineReplay(group);
  defineDiscard(group);
}

function defineList(group: Command): void {
  group.command("list")
    .description("Print what is parked, and why")
    .argument("[consumer]", `${CONSUMER_HELP} (default: all consumers)`)
    .action(withPostgres(async ({ sql, output, options }, name: string | undefined) => {
      const all = name === undefined ? await parkedOfAll(sql) : await parkedOf(sql, name);
      const now = Date.now();
      await output.table<ParkedOf>([
        { title: "consumer", of: ({ consumer }) => printable(consumer) },
        ...partitionColumn(all),
        { title: "message", isNumber: true, of: ({ message }) => `#${message.globalPosition}` },
        { title: "type", of: ({ message }) => printable(message.type) },
        { title: "stream", of: ({ message: it }) => printable(`${it.streamName} ${it.position}`) },
        { title: "tries", isNumber: true, of: ({ attempts }) => countText(attempts) },
        { title: "parked", isNumber: true, of: (it) => `${spanText(now - Number(it.time))} ago` },
        { title: "why", of: whyText },
      ], all);
      const [first] = all;
      if (output.isJson) return;
      if (first === undefined) return output.note("No message is parked.");
      const argument = `${shellArgument(first.consumer)} ${first.message.globalPosition}`;
      const there = partitionOption(first.partition ?? options.partition);
      output.note(`\nmessagedb parked show ${argument}${there}`);
    }));
}

function whyText({ error, reason }: ParkedMessage): string {
  const text = printable(reason ?? (error === null ? "" : error.message.split("\n")[0]!));
  return text.length > ERROR_WIDTH ? `${text.slice(0, ERROR_WIDTH - 1)}…` : text;
}

async function parkedOf(sql: Sql, name: string): Promise<ParkedOf[]> {
  const { identity, streamName, store } = await findConsumer(sql, name);
  return await readAllParked(store, identity, streamName);
}

async function parkedOfAll(sql: Sql): Promise<ParkedOf[]> {
  const { partitions } = await import("@messagedb/client");
  const { consumers } = await import("@messagedb/client/operate");
  // The members of a group have parked in one stream.
  const found = new Map(
    (await consumers(sql)).filter(({ parked }) => parked > 0).map((it) => [wholeKey(it), it]),
  );
  const all: ParkedOf[] = [];
  for (const status of found.values()) {
    const { partition, category, aggregate, consumerId } = status;
    const source = aggregate === undefined ? { category } : { aggregate };
    const identity = { ...source, consumerId: consumerId! };
    const store = partitions(sql)[partition ?? 0]!;
    const own = await readAllParked(store, identity, wholeStream(status));
    all.push(...partition === undefined ? own : own.map((it) => ({ partition, ...it })));
  }
  return all;
}

async function readAllParked(
  sql: Sql,
  identity: ConsumerIdentity,
  consumer: string,
): Promise<ParkedOf[]> {
  const { parked } = await import("@messagedb/client/operate");
  const all: ParkedOf[] = [];
  for (let position = 0;;) {
    const page = await parked(sql, identity, { position, batchSize: PARKED_PAGE });
    all.push(...page.map((it) => ({ consumer, ...it })));
    if (page.length < PARKED_PAGE) return all;
    position = page.at(-1)!.position + 1;
  }
}

/** The parked messages that arguments name. */
function pick(all: readonly ParkedOf[], given: readonly string[]): ParkedOf[] {
  return given.map((text) => {
    const found = all.find(({ message: { id, globalPosition } }) =>
      id === text.toLowerCase() || String(globalPosition) === text.replace(/^#/, "")
    );
    if (found === undefined) {
      throw new CommandError(
        `Message ${text} is not parked: "messagedb parked list" prints what is`,
      );
    }
    return found;
  });
}

function defineShow(group: Command): void {
  group.command("show")
    .description("Print a parked message, its error, and when it was parked")
    .argument("<consumer>", CONSUMER_HELP)
    .argument("<message>", "its id or its global position")
    .action(withPostgres(async ({ sql, output }, name: string, given: string) => {
      const { readMessage } = await import("@messagedb/client");
      const [found] = pick(await parkedOf(sql, name), [given]);
      const { message, error, attempts, reason, time } = found!;
      const stored = await readMessage(sql, message.id);
      if (output.isJson) return await output.json({ ...found, message: stored ?? message });
      if (stored !== null) await printMessage(output, stored as Message);
      else await output.print(`${messageText(message)} was deleted`);
      const ago = `${spanText(Date.now() - Number(time))} ago`;
      await output.print(`parked    ${timeText(time)} (${ago})`);
      await output.print(`attempts  ${countText(attempts)}`);
      if (reason !== undefined) await output.print(`reason    ${printable(reason)}`);
      if (error === null) return;
      const lines = `${error.name}: ${error.message}`.split("\n").map(printable);
      await output.print(`error     ${output.colors.red(lines.join("\n          "))}`);
    }));
}

interface ReplayOptions {
  readonly module: string;
  readonly type?: readonly string[];
  readonly limit?: number;
  readonly dryRun?: boolean;
}

const REPLAY_HELP = `
The default export of the module is the consumer, its handler, or an object of handlers by type.
The consumer's own policy says what becomes of a message that fails: without one, the replay stops there.`;

function defineReplay(group: Command): void {
  group.command("replay")
    .description("Handle parked messages again, with the handlers of a module")
    .argument("<consumer>", CONSUMER_HELP)
    .argument("[messages...]", `${MESSAGES_HELP} (default: all)`)
    .requiredOption("--module <file>", "the module that exports the handlers: ./letters.mjs")
    .option("--type <type>", "only messages of this type; may be given again", collect)
    .option("--limit <count>", "how many messages at most", wholeNumber(1))
    .option("--dry-run", "print the messages, and handle none")
    .addHelpText("after", REPLAY_HELP)
    .action(
      withPostgres(async (
        { sql, output, signal },
        name: string,
        given: readonly string[],
        { module, type: types, limit, dryRun }: ReplayOptions,
      ) => {
        const { replayParked } = await import("@messagedb/client");
        const { identity, streamName, store } = await findConsumer(sql, name);
        const consumer = await loadConsumer(module, identity);
        const all = await readAllParked(store, identity, streamName);
        const chosen = (given.length === 0 ? all : pick(all, given))
          .filter(({ message }) => types?.includes(message.type) ?? true)
          .slice(0, limit);
        if (dryRun) {
          for (const it of chosen) {
            await (output.isJson ? output.json(it) : output.print(messageText(it.message)));
          }
          return output.note(`${counted(chosen.length, "message")} would be handled. None was.`);
        }
        const result = await replayParked(sql, {
          ...consumer,
          onEvent: countingEvents(consumer, output, chosen.length),
        }, {
          signal,
          limit,
          types,
          ...given.length > 0 && { ids: chosen.map(({ message }) => message.id) },
        }).finally(() => {
          // What the module holds open, as a pool of connections, does not keep the command.
          setTimeout(() => process.exit(process.exitCode ?? EXIT_CODE.failed), LONGEST_END)
            .unref();
        });
        const again = result.parked > 0
          ? `, of which ${countText(result.parked)} failed again`
          : "";
        await (output.isJson
          ? output.json(result)
          : output.print(`Replayed ${counted(result.replayed, "message")}${again}`));
        signal.throwIfAborted();
        if (!result.busy) return;
        output.note("Another process replays these messages now.");
        return EXIT_CODE.failed;
      }),
    );
}

/** Shows how many messages are done, beside what the consumer itself does with events. */
function countingEvents(
  { onEvent }: PostgresConsumer,
  output: Output,
  count: number,
): PostgresConsumer["onEvent"] {
  let done = 0;
  return (event) => {
    onEvent?.(event);
    if (!["handled", "parked", "skipped"].includes(event.type)) return;
    output.progress(`${countText(++done)} of ${countText(count)}`);
  };
}

interface DiscardCommandOptions extends ConfirmOptions {
  readonly reason?: string;
  readonly all?: boolean;
  readonly dryRun?: boolean;
}

function defineDiscard(group: Command): void {
  group.command("discard")
    .description("Discard parked messages, which are then never handled")
    .argument("<consumer>", CONSUMER_HELP)
    .argument("[messages...]", MESSAGES_HELP)
    .option("--all", "all that the consumer has parked")
    .option("--reason <text>", "why: it is kept with the messages")
    .option("--dry-run", "print the messages, and discard none")
    .option("--yes", "do not ask")
    .action(
      withPostgres(async (
        { sql: whole, output, signal },
        name: string,
        given: readonly string[],
        { reason, all: isAll, dryRun, yes }: DiscardCommandOptions,
      ) => {
        if (given.length > 0 === Boolean(isAll)) {
          throw badUse("Name the messages to discard, or give --all");
        }
        if (!reason && !dryRun) throw badUse('Say why: --reason "…". It is kept with the messages');
        const { discardParked } = await import("@messagedb/client/operate");
        const { identity, streamName, store: sql } = await findConsumer(whole, name);
        const all = await readAllParked(sql, identity, streamName);
        const chosen = isAll ? all : pick(all, given);
        if (dryRun) {
          for (const it of chosen) {
            await (output.isJson ? output.json(it) : output.print(messageText(it.message)));
          }
          return output.note(`${counted(chosen.length, "message")} would be discarded. None was.`);
        }
        const what = chosen.length === 1
          ? messageText(chosen[0]!.message)
          : counted(chosen.length, "message");
        if (chosen.length > 0) {
          const question = `Discard ${what}, which ${consumerText(identity)} then never handles?`;
          await confirm(question, { yes }, { signal });
        }
        const ids = chosen.map(({ message }) => message.id);
        const discarded = await discardParked(sql, identity, ids, { reason: reason! });
        await (output.isJson
          ? output.json({ discarded })
          : output.print(`Discarded ${counted(discarded, "message")}`));
      }),
    );
}
