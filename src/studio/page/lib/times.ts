import { isoTime } from "../../_iso_time.ts";
import { localTime } from "./format.ts";
import { markedText } from "./marks.ts";

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * The time that a text names, as ISO: "2 h" and "15 min" ago, "today", "yesterday", the last "12:30", or a date with or
 * without a time, in the time zone of the browser. Undefined if it names none.
 */
export function readTime(text: string, now: Date = new Date()): string | undefined {
  const typed = text.trim().toLowerCase();
  const [, count, unit] = /^(\d+)\s*([a-z]+)(?:\s+ago)?$/.exec(typed) ?? [];
  if (unit !== undefined && UNITS[unit] !== undefined) {
    return iso(new Date(now.valueOf() - Number(count) * UNITS[unit]));
  }
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  if (typed === "now") return iso(now);
  if (typed === "today") return iso(midnight);
  if (typed === "yesterday") {
    midnight.setDate(midnight.getDate() - 1);
    return iso(midnight);
  }
  const [, day, rest] = /^(?:(\d{4}-\d{2}-\d{2})(?:[ t]+|$))?(.*)$/s.exec(typed) ?? [];
  const time = /^\d:/.test(rest!) ? `0${rest}` : rest;
  // A date alone would be read in UTC.
  const found = isoTime(
    `${day ?? localTime(now.toISOString()).slice(0, 10)}T${time || "00:00"}`.toUpperCase(),
  );
  // One looks for what was: at 8:25, "9:30" is yesterday's.
  if (found && day === undefined && found > now) found.setDate(found.getDate() - 1);
  return typed === "" ? undefined : found?.toISOString();
}

/** What a text that is no time is told: what is taken. */
export function timeProblem(text: string, wanted = "a time"): string | undefined {
  if (text.trim() === "" || readTime(text) !== undefined) return undefined;
  return `Cannot read "${markedText(text, 40)}" as ${wanted} of the years 1 to 9999: type ${TIMES}`;
}

export const TIMES = "2 h, 15 min, today, 12:30, 2026-01-31 or 2026-01-31 12:00";

/** How a time of the URL is shown in a field: without what is zero. */
export function shownTime(value: string): string {
  return isoTime(value) ? localTime(value).replace(/(:00)?\.000$/, "") : value;
}

function iso(time: Date): string | undefined {
  return Number.isNaN(time.valueOf()) ? undefined : isoTime(time.toISOString())?.toISOString();
}
