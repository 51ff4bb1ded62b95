const COUNT = new Intl.NumberFormat("en");

/** 1,000,000 */
export function numberText(count: number): string {
  return COUNT.format(count);
}

/** "1 message", "2 messages" */
export function quantity(count: number, one: string, many: string = `${one}s`): string {
  return `${numberText(count)} ${count === 1 ? one : many}`;
}

export function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let size = bytes;
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000;
    at++;
  }
  return `${at === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[at]}`;
}

export function rateText(rate: number): string {
  return rate >= 100
    ? numberText(Math.round(rate))
    : rate.toFixed(rate >= 10 || rate === 0 ? 0 : 1);
}

/** How long something takes or is ago, in two units at most: "2 min 26 s". */
export function ageText(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10 && seconds % 60 !== 0) return `${minutes} min ${seconds % 60} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 10 && minutes % 60 !== 0) return `${hours} h ${minutes % 60} min`;
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

const two = (value: number): string => String(value).padStart(2, "0");

/** 2026-01-31 12:00:00.123, in the time zone of the browser. */
export function localTime(iso: string | null): string {
  const time = iso === null ? undefined : new Date(iso);
  if (time === undefined || Number.isNaN(time.valueOf())) return "unreadable time";
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  const ofDay = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  return `${day} ${ofDay}.${String(time.getMilliseconds()).padStart(3, "0")}`;
}

/** The offset of the browser's time zone: "UTC", "UTC+5:30". */
export function zoneText(): string {
  const minutes = -new Date().getTimezoneOffset();
  if (minutes === 0) return "UTC";
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? "-" : "+"}${hours}${rest === 0 ? "" : `:${two(rest)}`}`;
}
