/** Whether a month has such a day, "2026-02-28": a Date takes February 31st for March 3rd. */
export function isDay(day: string): boolean {
  const midnight = new Date(`${day}T00:00Z`);
  return !Number.isNaN(Number(midnight)) && midnight.toISOString().startsWith(day);
}
