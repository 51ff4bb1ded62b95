import type { JSX } from "preact";
import { indentOf, TRACE_ROW } from "../lib/trace_layout.ts";
import type { TraceRow } from "../lib/trace_rows.ts";

const MIDDLE = TRACE_ROW / 2;

/** The lines from causes to effects, and the places of the messages in time. */
export function TracePicture(
  { rows, places, active }: {
    readonly rows: readonly TraceRow[];
    readonly places: readonly number[];
    readonly active: number;
  },
): JSX.Element {
  const height = rows.length * TRACE_ROW;
  return (
    <>
      <svg class="trace-tree" height={height} aria-hidden="true">
        {rows.map((row, at) =>
          row.cause === -1 ? null : (
            <path
              key={at}
              class={isOnWay(rows, at, active) ? "on-way" : ""}
              d={branch(rows[row.cause]!, row, row.cause, at)}
            />
          )
        )}
        {rows.map(({ depth, message }, at) => (
          <circle
            key={at}
            class={`${message.role}${at === active ? " active" : ""}`}
            cx={indentOf(depth) - 12}
            cy={at * TRACE_ROW + MIDDLE}
            r={message.role === "start" ? 5 : 4}
          />
        ))}
      </svg>
      <svg class="trace-times" height={height} aria-hidden="true">
        {rows.map(({ cause, message }, at) => {
          const y = at * TRACE_ROW + MIDDLE;
          const [from, to] = [cause === -1 ? places[at]! : places[cause]!, places[at]!];
          return (
            <g key={at} class={at === active ? "active" : ""}>
              <line class="track" x1="2%" x2="98%" y1={y} y2={y} />
              <line class="wait" x1={percent(from)} x2={percent(to)} y1={y} y2={y} />
              <circle class={message.role} cx={percent(to)} cy={y} r="4" />
            </g>
          );
        })}
      </svg>
    </>
  );
}

/** From a cause down, and to its effect. */
function branch(cause: TraceRow, effect: TraceRow, from: number, to: number): string {
  const x = indentOf(cause.depth) - 12;
  const end = indentOf(effect.depth) - 12;
  const y = to * TRACE_ROW + MIDDLE;
  const start = from * TRACE_ROW + MIDDLE;
  if (end === x) return `M${x} ${start}V${y}`;
  return `M${x} ${start}V${y - 6}Q${x} ${y} ${x + 6} ${y}H${end}`;
}

/** Whether a message is a cause of the active one, or that one. */
function isOnWay(rows: readonly TraceRow[], at: number, active: number): boolean {
  let row = active;
  while (row > at) row = rows[row]!.cause;
  return row === at;
}

function percent(place: number): string {
  return `${(3 + place * 94).toFixed(2)}%`;
}
