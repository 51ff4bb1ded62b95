import { localTime } from "./format.ts";

const UNITS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * The time that a text names, as ISO: "2 h" and "15 min" ago, "today", "yesterday", "12:30", or a date with or without a
 * time, in the time zone of the browser. Undefined if it names none.
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
  const [, hour, minute, second = "0"] = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/.exec(typed) ?? [];
  if (hour !== undefined) {
    midnight.setHours(Number(hour), Number(minute), Number(second));
    return iso(midnight);
  }
  if (!/^\d{4}-\d{2}-\d{2}/.test(typed)) return undefined;
  // A date alone would be read in UTC.
  return iso(
    new Date(typed.length === 10 ? `${typed}T00:00` : typed.replace(" ", "T").toUpperCase()),
  );
}

/** How a time of the URL is shown in a field: without what is zero. */
export function shownTime(value: string): string {
  return Number.isNaN(Date.parse(value)) ? value : localTime(value).replace(/(:00)?\.000$/, "");
}

function iso(time: Date): string | undefined {
  return Number.isNaN(time.valueOf()) ? undefined : time.toISOString();
}
