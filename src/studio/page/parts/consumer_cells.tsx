import type { JSX } from "preact";
import {
  behindText,
  type ConsumerOf,
  type LagHistory,
  parkedText,
  sourceOf,
} from "../lib/consumers.ts";
import { ageText, countText } from "../lib/format.ts";
import { urlOf } from "../lib/place.ts";
import { Foreign } from "./foreign.tsx";
import { ViewLink } from "./link.tsx";
import type { Column } from "./rows.tsx";
import { Spark } from "./spark.tsx";
import { Ago } from "./when.tsx";

export function consumerUrl({ streamName }: Pick<ConsumerOf, "streamName">): string {
  return urlOf(["consumers", streamName]);
}

export function Health({ of }: { readonly of: ConsumerOf["health"] }): JSX.Element {
  return <span class={`health ${of}`}>{of}</span>;
}

export function ConsumerName({ of }: { readonly of: ConsumerOf }): JSX.Element {
  const { consumerId, consumerGroup, aggregate } = of;
  return (
    <>
      <ViewLink url={consumerUrl(of)} class="mono">
        <Foreign text={consumerId ?? aggregate ?? of.streamName} most={80} />
      </ViewLink>
      {consumerGroup && <span class="kind">{consumerGroup.member + 1} of {consumerGroup.size}
      </span>}
      {consumerId === null && <span class="kind">aggregate</span>}
    </>
  );
}

export function consumerColumns(lags: LagHistory): Column<ConsumerOf>[] {
  return [
    { name: "Health", width: "92px", phone: "first", cell: ({ health }) => <Health of={health} /> },
    {
      name: "Consumer",
      width: "minmax(140px, 1fr)",
      phone: "first",
      cell: (it) => <ConsumerName of={it} />,
    },
    {
      name: "Reads",
      width: "minmax(100px, 180px)",
      phone: "second",
      cell: (it) => (
        <span class="mono">
          <Foreign text={sourceOf(it)} most={80} />
        </span>
      ),
    },
    {
      name: "Behind",
      width: "84px",
      isNumber: true,
      phone: "second",
      cell: (it) => <span class={it.behind > 0 ? "" : "faint"}>{behindText(it)}</span>,
    },
    {
      name: "Lag",
      width: "88px",
      cell: (it) => <Spark values={lags.values.get(it.streamName)?.slice(-60) ?? []} />,
    },
    {
      name: "Oldest waits",
      width: "104px",
      isNumber: true,
      cell: ({ oldestAge }) => oldestAge === null ? "" : ageText(oldestAge),
    },
    {
      name: "Position",
      width: "104px",
      isNumber: true,
      cell: ({ position }) => countText(position),
    },
    { name: "Moved", width: "120px", cell: ({ movedAt }) => <Ago time={movedAt} /> },
    {
      name: "Owner",
      width: "96px",
      cell: ({ owner }) =>
        owner === null ? <span class="faint">nobody</span> : (
          <span class="mono" title={owner}>
            <Foreign text={owner} most={8} />
          </span>
        ),
    },
    {
      name: "Parked",
      width: "72px",
      isNumber: true,
      phone: "second",
      cell: (it) =>
        it.parked === 0 ? <span class="faint no-phone">0</span> : (
          <span class="bad-text">
            {parkedText(it)}
            <span class="phone-only">parked</span>
          </span>
        ),
    },
  ];
}
