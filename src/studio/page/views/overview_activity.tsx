import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { ActivityAnswer } from "../../_api.ts";
import { FIRST_TIME, LAST_TIME } from "../../_iso_time.ts";
import { quantity } from "../lib/format.ts";
import { every } from "../lib/ticker.ts";
import { useCall } from "../lib/use_call.ts";
import { useLast } from "../lib/use_last.ts";
import { Plot } from "../parts/plot.tsx";
import { CallOutcome } from "../parts/states.tsx";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const SPANS: readonly (readonly [string, number])[] = [
  ["15 min", 15 * MINUTE],
  ["1 h", HOUR],
  ["6 h", 6 * HOUR],
  ["24 h", DAY],
  ["7 d", 7 * DAY],
  ["30 d", 30 * DAY],
];
const BUCKETS = 90;

/** How many messages came, over time. */
export function Activity({ first }: { readonly first: string | null }): JSX.Element {
  const [span, setSpan] = useState<number | "all">(DAY);
  const [at, setAt] = useState(Date.now());
  const since = span === "all" ? (first === null ? undefined : Date.parse(first)) : at - span;
  const args = since === undefined ? undefined : {
    since: isoWithin(since, LAST_TIME - MINUTE),
    until: isoWithin(Math.max(at, since + MINUTE), LAST_TIME),
    buckets: BUCKETS,
  };
  const called = useCall("activity", args);
  useEffect(() => every(MINUTE, () => Promise.resolve(setAt(Date.now()))).end, []);
  // The chart stays while it goes on. Another span is another chart.
  const known = useLast(called.answer && { answer: called.answer, span });
  const answer = known?.span === span ? known.answer : undefined;
  const choose = (span: number | "all") => {
    setAt(Date.now());
    setSpan(span);
  };
  return (
    <section>
      <div class="section-head">
        <h2>Messages over time</h2>
        <span class="grow" />
        <div class="tabs small" role="group" aria-label="Span">
          {SPANS.map(([name, length]) => (
            <button
              key={name}
              type="button"
              aria-pressed={span === length}
              onClick={() => choose(length)}
            >
              {name}
            </button>
          ))}
          <button type="button" aria-pressed={span === "all"} onClick={() => choose("all")}>
            All
          </button>
        </div>
      </div>
      <CallOutcome of={{ ...called, answer }}>{(answer) => <Chart answer={answer} />}</CallOutcome>
    </section>
  );
}

/** The time, or the nearest that can be asked for: a message may say that it is of any year. */
function isoWithin(time: number, last: number): string {
  return new Date(Math.min(Math.max(time, FIRST_TIME), last)).toISOString();
}

function Chart({ answer: { buckets } }: { readonly answer: ActivityAnswer }): JSX.Element {
  const data = useMemo(() => ({
    times: buckets.map(({ from }) => Date.parse(from) / 1000),
    values: buckets.map(({ count }) => count),
  }), [buckets]);
  const total = data.values.reduce((sum, count) => sum + count, 0);
  return (
    <Plot
      data={data}
      unit="messages"
      isBars
      sentence={`${quantity(total, "message")} in this span`}
    />
  );
}
