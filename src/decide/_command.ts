import { DuplicateMessageError } from "../errors.ts";
import { safeInteger } from "../messages/_columns.ts";
import { idFrom } from "../names/id_from.ts";
import type { Sql } from "../types.ts";
import { type CommandOutcome, queryOutcome } from "./_query_outcome.ts";

/** How many messages a command may write: the ids differ in their last 16 bits. */
const MOST_MESSAGES = 0x10000;

/** A command that is decided once: its messages have ids that are made of the command's own id. */
export interface Command {
  readonly commandId: string;
  /** What the ids of its messages begin with: all but the last four digits. */
  readonly idPrefix: string;
  /** The id of the command's message number `number`, from 0. */
  idOf(number: number): string;
}

export async function commandOf(commandId: string): Promise<Command> {
  // Not the id that `idFrom` makes of the same text for a message of the user's.
  const idPrefix = (await idFrom(`decide ${commandId}`)).slice(0, -4);
  return {
    commandId,
    idPrefix,
    idOf(number) {
      if (number >= MOST_MESSAGES) {
        throw new RangeError(
          `Cannot write more than ${MOST_MESSAGES} messages for command "${commandId}"`,
        );
      }
      return idPrefix + number.toString(16).padStart(4, "0");
    },
  };
}

/**
 * Finds what was written for a command, whatever has been written since; undefined if nothing was.
 *
 * @throws {DuplicateMessageError} If it was written to other streams than these.
 */
export async function findOutcome(
  sql: Sql,
  { commandId, idPrefix, idOf }: Command,
  streamNames: readonly string[],
): Promise<CommandOutcome | undefined> {
  const found = await queryOutcome(sql, idPrefix, streamNames);
  if (found === null) return undefined;
  if (found.isElsewhere) {
    throw new DuplicateMessageError(idOf(0), {
      message: `Cannot decide command "${commandId}": it was decided before, over other entities`,
    });
  }
  return {
    versions: found.versions.map(safeInteger),
    globalPosition: safeInteger(found.globalPosition),
  };
}
