import type { JSX } from "preact";
import { ageText, timeText } from "../lib/format.ts";
import { heartbeat } from "../lib/pulse.ts";

/** A time, in the time zone of the browser; in UTC when one points at it. */
export function When({ time }: { readonly time: string | null }): JSX.Element {
  return time === null
    ? <span class="faint">unreadable time</span>
    : <time dateTime={time} title={time} class="tabular">{timeText(time)}</time>;
}

/** How long ago a time is, by the clock of the server. */
export function Ago({ time }: { readonly time: string | null }): JSX.Element {
  if (time === null) return <span class="faint">–</span>;
  const now = Date.parse(heartbeat.get().pulse?.serverTime ?? new Date().toISOString());
  return (
    <time dateTime={time} title={time} class="tabular">
      {ageText(Math.max(0, now - Date.parse(time)))} ago
    </time>
  );
}
