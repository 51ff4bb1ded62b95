import type { Message } from "@messagedb/client";
import type { ConsumerIdentity, ConsumerStatus, Sql } from "@messagedb/client/operate";
import type { Command } from "commander";
import { collect } from "../terminal/arguments.ts";
import { confirm, type ConfirmOptions } from "../terminal/confirm.ts";
import {
  CONSUMER_HELP,
  consumerText,
  findConsumer,
  memberText,
  type NamedConsumer,
  takeUpText,
} from "../terminal/consumer_name.ts";
import { badUse, CommandError } from "../terminal/exit_code.ts";
import { printMessage } from "../terminal/message_lines.ts";
import { withPostgres } from "../terminal/run.ts";
import { printable } from "../terminal/text.ts";

interface PassCommandOptions extends ConfirmOptions {
  readonly reason?: string;
  readonly type?: readonly string[];
  readonly dryRun?: boolean;
}

export function definePark(program: Command): void {
  definePassing(program, "park", "Get a consumer past a message, and keep the message for replay");
}

export function defineSkip(program: Command): void {
  definePassing(program, "skip", "Get a consumer past a message, which it never handles");
}

function definePassing(program: Command, name: "park" | "skip", description: string): void {
  program.command(name)
    .description(description)
    .argument("<consumer>", CONSUMER_HELP)
    .argument("[message]", "its id or its global position (default: the next that waits)")
    .option("--reason <text>", "why: it is kept with the message")
    .option("--type <type>", "a type that the consumer handles, if it recorded none", collect)
    .option("--dry-run", "print the message, and change nothing")
    .option("--yes", "do not ask")
    .action(
      withPostgres(async (
        { sql: whole, output, signal },
        consumerName: string,
        given: string | undefined,
        { reason, type: types, dryRun, yes }: PassCommandOptions,
      ) => {
        if (!reason && !dryRun) throw badUse('Say why: --reason "…". It is kept with the message');
        const operate = await import("@messagedb/client/operate");
        const named = await findConsumer(whole, consumerName);
        const sql = named.store;
        const wanted = given === undefined ? undefined : await messageNamed(sql, given);
        const meetings = wanted === undefined
          ? [await meetNext(sql, named, memberInTrouble(named, name), types)]
          : await meetAll(sql, named, types);
        const meeting = meetings.find(({ next }) => wanted === undefined || next?.id === wanted.id);
        const message = meeting?.next ?? wanted;
        const text = meeting?.text ?? consumerText(named.identity);
        if (message === undefined) throw noneReady(text, meeting!.isHeldUp);
        if (dryRun) {
          if (meeting === undefined) throw notNext(name, text, message, meetings);
          await printMessage(output, message);
          const how = reason ? "leave out --dry-run" : 'give --reason "…"';
          return output.note(
            `${text} meets this message next. Nothing was changed: to ${name} it, ${how}`,
          );
        }
        if (meeting === undefined && isToCome(message, meetings)) {
          throw notNext(name, text, message, meetings);
        }
        const label = messageText(message);
        // For a message that the consumer has passed, the function changes nothing: it says why, or was called before.
        if (meeting !== undefined) {
          const question = `${QUESTIONS[name]} ${label}, and have ${text} go on after it?`;
          await confirm(question, { yes }, { signal });
        }
        const identity = meeting?.identity ?? groupOf(named, name);
        await operate[name](sql, identity, message.id, { reason: reason!, types });
        if (output.isJson) return await output.json(message);
        await output.print(`${DONE[name]} ${label}: ${text} goes on after it`);
        output.note(takeUpText(meeting?.positions ?? named.positions));
      }),
    );
}

const QUESTIONS = { park: "Park", skip: "Skip for ever" } as const;
const DONE = { park: "Parked", skip: "Skipped" } as const;

function noneReady(text: string, isHeldUp: boolean): CommandError {
  return new CommandError(
    isHeldUp
      ? `No message is ready for ${text}: an open transaction holds it up, ` +
        'which "messagedb doctor" names'
      : `No message waits for ${text}`,
  );
}

function notNext(
  name: string,
  text: string,
  message: Message,
  meetings: readonly NextMeeting[],
): CommandError {
  const nexts = meetings.flatMap(({ next }) => next === undefined ? [] : [messageText(next)]);
  const which = nexts.length === 0 ? "no message waits" : `next is ${nexts.join(", or ")}`;
  const label = messageText(message);
  return new CommandError(
    `Cannot ${name} ${label}: it is not the next message that ${text} meets: ${which}`,
  );
}

/** Whether the consumer has messages before this one still to come, whichever member reads it. */
function isToCome({ globalPosition }: Message, meetings: readonly NextMeeting[]): boolean {
  return meetings.every(({ identity, next }) =>
    // What an aggregate reads is in the order of its references.
    identity.aggregate === undefined && next !== undefined && next.globalPosition < globalPosition
  );
}

/** A message, for sentences: `Deposited account-123 4 (#18)`. */
export function messageText(
  { type, streamName, position, globalPosition }: Pick<
    Message,
    "type" | "streamName" | "position" | "globalPosition"
  >,
): string {
  return printable(`${type} ${streamName} ${position} (#${globalPosition})`);
}

/** The message that an argument names. */
async function messageNamed(sql: Sql, given: string): Promise<Message> {
  const { readAll, readMessage } = await import("@messagedb/client");
  if (/^\d+$/.test(given)) {
    const globalPosition = Number(given);
    const [message] = await readAll(sql, { position: globalPosition, batchSize: 1 });
    if (message?.globalPosition === globalPosition) return message;
    throw new CommandError(`The store has no message at global position ${given}`);
  }
  const message = await readMessage(sql, given);
  if (message !== null) return message;
  throw new CommandError(`The store has no message "${given}"`);
}

/** A consumer, or a member of its group, and the message that it meets next. */
interface NextMeeting {
  readonly identity: ConsumerIdentity;
  /** The consumer, for sentences. */
  readonly text: string;
  readonly next: Message | undefined;
  /** The stored position, if there is one. */
  readonly positions: readonly ConsumerStatus[];
  /** Whether messages wait that are not ready. */
  readonly isHeldUp: boolean;
}

async function meetNext(
  sql: Sql,
  { identity: whole }: NamedConsumer,
  member: ConsumerStatus | undefined,
  types: readonly string[] | undefined,
): Promise<NextMeeting> {
  const { nextMessage } = await import("@messagedb/client/operate");
  const identity = { ...whole, consumerGroup: member?.consumerGroup };
  return {
    identity,
    text: member === undefined ? consumerText(whole) : memberText(member),
    next: await nextMessage(sql, identity, { types }) ?? undefined,
    positions: member === undefined ? [] : [member],
    // A consumer of a category does not wait for transactions.
    isHeldUp: member !== undefined && member.behind > 0 &&
      (member.category === undefined || member.category === "$all"),
  };
}

/** What each member meets next; of a consumer without a group, what it does. */
async function meetAll(
  sql: Sql,
  named: NamedConsumer,
  types: readonly string[] | undefined,
): Promise<NextMeeting[]> {
  const meetings: NextMeeting[] = [];
  for (const member of named.positions.length === 0 ? [undefined] : named.positions) {
    meetings.push(await meetNext(sql, named, member, types));
  }
  return meetings;
}

/** Of a group, the member that is in trouble; undefined for a consumer without a position. */
function memberInTrouble(
  { positions }: NamedConsumer,
  name: string,
): ConsumerStatus | undefined {
  const behind = positions.filter((it) => it.behind > 0 || it.isBehindMore);
  const troubled = behind.filter(({ health }) => health === "stuck" || health === "stopped");
  const [member = positions[0], ...others] = troubled.length > 0 ? troubled : behind;
  if (others.length === 0) return member;
  const streams = [member!, ...others].map(({ streamName }) => streamName).join(", ");
  throw badUse(`Messages wait for several members: name one to ${name} for, of ${streams}`);
}

/** The consumer with the size of its group, if it has one: the member is found by the message. */
function groupOf({ identity, positions }: NamedConsumer, name: string): ConsumerIdentity {
  const sizes = [...new Set(positions.map(({ consumerGroup }) => consumerGroup?.size))];
  if (sizes.length > 1) {
    const streams = positions.map(({ streamName }) => streamName).join(", ");
    throw badUse(`The group has several sizes: name a member to ${name} for, of ${streams}`);
  }
  const [size] = sizes;
  return { ...identity, ...size !== undefined && { consumerGroup: { size } } };
}
