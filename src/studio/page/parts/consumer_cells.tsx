import type { JSX } from "preact";
import {
  behindCount,
  type ConsumerRow,
  healthOf,
  type LagHistory,
  lagOf,
  mayHaveParked,
  mayWait,
  parkedText,
  type ShownHealth,
  sourceOf,
} from "../lib/consumers.ts";
import { ageText, numberText } from "../lib/format.ts";
import { markedText } from "../lib/marks.ts";
import { viewUrl } from "../lib/place.ts";
import { Foreign } from "./foreign.tsx";
import { ViewLink } from "./link.tsx";
import type { RowColumn } from "./rows.tsx";
import { Spark } from "./spark.tsx";
import { Ago } from "./when.tsx";

export function consumerUrl(
  { streamName, partition }: Pick<ConsumerRow, "streamName" | "partition">,
): string {
  return viewUrl(["consumers", streamName], { partition });
}

export function Health({ of }: { readonly of: ShownHealth }): JSX.Element {
  return <span class={`health ${of.replace(" ", "-")}`}>{of}</span>;
}

export function ConsumerName({ of }: { readonly of: ConsumerRow }): JSX.Element {
  const { consumerId, consumerGroup, aggregate, partition } = of;
  return (
    <>
      <ViewLink url={consumerUrl(of)} class="mono">
        <Foreign text={consumerId ?? aggregate ?? of.streamName} most={80} />
      </ViewLink>
      {consumerGroup && <span class="kind">{consumerGroup.member + 1} of {consumerGroup.size}
      </span>}
      {consumerId === null && <span class="kind">aggregate</span>}
      {partition !== undefined && <span class="kind">partition {partition}</span>}
    </>
  );
}

const BEFORE_LAG: readonly RowColumn<ConsumerRow>[] = [
  { name: "Health", width: "84px", phone: "first", cell: (it) => <Health of={healthOf(it)} /> },
  {
    name: "Consumer",
    width: "minmax(130px, 1fr)",
    phone: "first",
    cell: (it) => <ConsumerName of={it} />,
  },
  {
    name: "Reads",
    width: "minmax(80px, 170px)",
    phone: "second",
    cell: (it) => (
      <span class="mono">
        <Foreign text={sourceOf(it)} most={80} />
      </span>
    ),
  },
  {
    name: "Behind",
    width: "72px",
    isNumber: true,
    phone: "second",
    cell: (it) => (
      <span class={mayWait(it) ? "" : "faint"}>
        {behindCount(it)}
        <span class="phone-only">&nbsp;behind</span>
      </span>
    ),
  },
  {
    name: "Parked",
    width: "60px",
    isNumber: true,
    phone: "second",
    cell: (it) =>
      mayHaveParked(it)
        ? (
          <span class="bad-text">
            {parkedText(it)}
            <span class="phone-only">&nbsp;parked</span>
          </span>
        )
        : <span class="faint no-phone">0</span>,
  },
];
const AFTER_LAG: readonly RowColumn<ConsumerRow>[] = [
  {
    name: "Oldest waits",
    width: "92px",
    isNumber: true,
    cell: ({ oldestAge }) => oldestAge === null ? "" : ageText(oldestAge),
  },
  {
    name: "Position",
    width: "92px",
    isNumber: true,
    cell: ({ position }) => numberText(position),
  },
  { name: "Moved", width: "104px", cell: ({ movedAt }) => <Ago time={movedAt} /> },
  {
    name: "Owner",
    width: "84px",
    cell: ({ owner }) =>
      owner === null
        ? <span class="faint">nobody</span>
        : (
          <span class="mono" title={markedText(owner)}>
            <Foreign text={owner} most={8} />
          </span>
        ),
  },
];

export function columnsOfConsumers(lags: LagHistory): RowColumn<ConsumerRow>[] {
  return [
    ...BEFORE_LAG,
    {
      name: "Lag",
      width: "76px",
      cell: (it) => <Spark values={lagOf(lags, [it]).values.slice(-60)} />,
    },
    ...AFTER_LAG,
  ];
}
