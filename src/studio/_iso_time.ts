import { isDay } from "../lib/is_day.ts";

/** The years that PostgreSQL and ISO write in one way: from 1 to 9999, in milliseconds. */
export const FIRST_TIME: number = Date.parse("0001-01-01T00:00:00.000Z");
export const LAST_TIME: number = Date.parse("9999-12-31T23:59:59.999Z");

const TIME_OF_WIRE =
  /^(\d{4}-\d{2}-\d{2})(?:T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2})?)?$/;

/** The time that an ISO text names, in the years 1 to 9999. Undefined if it names none. */
export function isoTime(text: string): Date | undefined {
  const day = TIME_OF_WIRE.exec(text)?.[1];
  if (day === undefined || !isDay(day)) return undefined;
  const time = new Date(text);
  return Number(time) >= FIRST_TIME && Number(time) <= LAST_TIME ? time : undefined;
}
