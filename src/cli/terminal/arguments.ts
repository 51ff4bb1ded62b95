import { InvalidArgumentError } from "commander";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { text } from "node:stream/consumers";
import { isDay } from "../../lib/is_day.ts";
import { badUse } from "./exit_code.ts";
import { fileProblem } from "./file_problem.ts";

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** Makes the parser of a whole number of at least `least`, and at most `most`. */
export function wholeNumber(
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): (value: string) => number {
  return (value) => {
    const number = Number(value);
    const isInRange = number >= least && number <= most;
    if (!/^-?\d+$/.test(value) || !isInRange) {
      throw new InvalidArgumentError(
        `Give a whole number from ${least} up to ${most}.`,
      );
    }
    return number;
  };
}

/** Parses the version that a write expects; `"exists"` is STREAM_EXISTS. */
export function versionOrExists(value: string): number {
  return value === "exists" ? -4 : wholeNumber(-1)(value);
}

/** Parses `"250ms"`, `"30s"`, `"15min"`, `"2h"`, `"7d"`, `"1w"` into milliseconds. */
export function duration(value: string): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|min|h|d|w)$/.exec(value) ?? [];
  if (count === undefined) {
    throw new InvalidArgumentError("Give a number and its unit: 30s, 15min, 2h or 7d.");
  }
  return Number(count) * UNITS[unit!]!;
}

/** Parses how long ago, `"2h"`, or when, `"2026-01-31"` or `"2026-01-31T12:00Z"`, into the time. */
export function moment(value: string): Date {
  if (/^\d+(\.\d+)?[a-z]+$/.test(value)) return new Date(Date.now() - duration(value));
  const time = new Date(value);
  const day = /^\d{4}-\d{2}-\d{2}/.exec(value)?.[0];
  const isKnown = day === undefined || isDay(day);
  if (!/^\d{4}-/.test(value) || Number.isNaN(time.getTime()) || !isKnown) {
    throw new InvalidArgumentError("Give how long ago (2h, 7d) or a time (2026-01-31T12:00Z).");
  }
  return time;
}

/** Adds a value to those that the same option had before. */
export function collect(value: string, values: readonly string[] = []): string[] {
  if (value === "") throw new InvalidArgumentError("It is empty.");
  return [...values, value];
}

/** Adds an address, which may be empty, as that of a variable that is not set. */
export function collectAddress(value: string, values: readonly string[] = []): string[] {
  return [...values, value];
}

/** The text of an argument: the argument itself, that of a file (`@FILE`), or standard input (`-`). */
export async function readArgument(argument: string): Promise<string> {
  if (argument === "-") return await text(process.stdin);
  if (!argument.startsWith("@")) return argument;
  const path = argument.slice(1);
  return await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw badUse(`Cannot read the file "${path}": ${fileProblem(error)}`);
  });
}

/** The JSON of an argument: see `readArgument`. */
export async function parseArgument(argument: string, what: string): Promise<unknown> {
  const given = await readArgument(argument);
  try {
    return JSON.parse(given);
  } catch (error) {
    throw badUse(`The ${what} is no JSON: ${(error as Error).message}`);
  }
}
