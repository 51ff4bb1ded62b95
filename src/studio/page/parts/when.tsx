import type { JSX } from "preact";
import { ageText, localTime } from "../lib/format.ts";
import { heartbeat } from "../lib/pulse.ts";
import { useValue } from "../lib/store.ts";

/** A time, in the time zone of the browser; in UTC when one points at it. */
export function When({ time }: { readonly time: string | null }): JSX.Element {
  return time === null
    ? <span class="faint">unreadable time</span>
    : <time dateTime={time} title={time} class="tabular">{localTime(time)}</time>;
}

/** How long ago a time is, by the clock of the server. */
export function Ago({ time }: { readonly time: string | null }): JSX.Element {
  const { pulse } = useValue(heartbeat);
  if (time === null) return <span class="faint">–</span>;
  const age = (pulse ? Date.parse(pulse.serverTime) : Date.now()) - Date.parse(time);
  return (
    <time dateTime={time} title={time} class="tabular">
      {age < 1000 ? "just now" : `${ageText(age)} ago`}
    </time>
  );
}
