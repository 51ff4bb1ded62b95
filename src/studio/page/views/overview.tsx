import type { ComponentChildren, JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import {
  behindQuantity,
  byHealth,
  type ConsumerRow,
  healthOf,
  isSameConsumer,
  keyOfConsumer,
  leastText,
  mayHaveParked,
  mayWait,
  parkedText,
  SHOWN_HEALTHS,
  useConsumers,
} from "../lib/consumers.ts";
import { numberText, rateText, sizeText } from "../lib/format.ts";
import { useNarrow } from "../lib/media.ts";
import { viewUrl } from "../lib/place.ts";
import { heartbeat } from "../lib/pulse.ts";
import {
  byLast,
  categoriesOf,
  isOwnCategory,
  rememberCategories,
  type StoreOf,
} from "../lib/status.ts";
import { useValue } from "../lib/store.ts";
import { useCall } from "../lib/use_call.ts";
import { AboutStore } from "../parts/about_store.tsx";
import { ConsumerName, consumerUrl, Health } from "../parts/consumer_cells.tsx";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { ViewLink } from "../parts/link.tsx";
import { CallOutcome, Empty } from "../parts/states.tsx";
import { Ago } from "../parts/when.tsx";
import { Activity } from "./overview_activity.tsx";
import { Findings, Transactions } from "./overview_findings.tsx";

/** How the store is: what comes in, what is in it, who is behind, what is wrong. */
export function OverviewView(): JSX.Element {
  const status = useCall("storeStatus", {}, 10_000);
  const consumers = useConsumers();
  const isNarrow = useNarrow();
  const { answer } = status;
  useEffect(() => {
    if (answer) rememberCategories(answer);
  }, [answer]);
  return (
    <div class="page">
      <ViewHead title="Overview" />
      {isNarrow && <AboutStore />}
      <CallOutcome of={status}>
        {({ stores }) => <Tiles stores={stores} consumers={consumers.answer?.consumers} />}
      </CallOutcome>
      <Findings />
      <Activity first={firstOf(answer?.stores ?? [])} />
      <div class="columns">
        <section>
          <h2>Categories</h2>
          <CallOutcome of={status}>{({ stores }) => <TopCategories stores={stores} />}</CallOutcome>
        </section>
        <section>
          <h2>Consumers</h2>
          <CallOutcome of={consumers}>
            {(it) => <TopConsumers consumers={it.consumers} />}
          </CallOutcome>
        </section>
      </div>
      {answer && <Transactions stores={answer.stores} />}
    </div>
  );
}

/** When the first message was written; null for none. */
function firstOf(stores: readonly StoreOf[]): string | null {
  const times = stores.flatMap(({ messages: { firstAt } }) => firstAt ?? []);
  return times.sort()[0] ?? null;
}

function Tiles(
  { stores, consumers }: {
    readonly stores: readonly StoreOf[];
    readonly consumers: readonly ConsumerRow[] | undefined;
  },
): JSX.Element {
  const { rate, pulse } = useValue(heartbeat);
  const count = stores.reduce((sum, { messages }) => sum + messages.count, 0);
  const isEstimate = stores.some(({ messages }) => messages.isEstimate);
  const table = stores.reduce((sum, { size }) => sum + size.table, 0);
  const indexes = stores.reduce((sum, { size }) => sum + size.indexes, 0);
  const live = consumers?.filter(({ health }) => health !== "replaced") ?? [];
  const troubled = live.filter(({ health }) => health === "stuck" || health === "stopped").length;
  const parked = parkedIn(live);
  return (
    <div class="tiles">
      <Tile name="Messages a second" value={rate === undefined ? "…" : rateText(rate)}>
        {pulse?.time
          ? (
            <>
              last one <Ago time={pulse.time} />
            </>
          )
          : pulse
          ? "none yet"
          : ""}
      </Tile>
      <Tile name="Messages" value={`${isEstimate ? "≈ " : ""}${numberText(count)}`}>
        {pulse === undefined
          ? "…"
          : pulse.heads.length > 1
          ? `in ${numberText(stores.length)} partitions`
          : `last position ${numberText(pulse.heads[0] ?? 0)}`}
      </Tile>
      <Tile name="Size on disk" value={sizeText(table + indexes)}>
        {sizeText(indexes)} of it indexes
      </Tile>
      <Tile
        name="Consumers"
        value={numberText(live.length)}
        isBad={troubled > 0}
        url={viewUrl(["consumers"])}
      >
        {troubled === 0 ? "none stuck or stopped" : `${numberText(troubled)} stuck or stopped`}
      </Tile>
      <Tile
        name="Parked"
        value={parked}
        isBad={parked !== "0"}
        url={parkedUrl(live)}
      >
        {parked === "0" ? "nothing to do" : "messages that failed"}
      </Tile>
    </div>
  );
}

/** All members of a group have the parked messages together. */
function parkedIn(consumers: readonly ConsumerRow[]): string {
  const each = new Map(
    consumers.map((it) =>
      [`${it.partition} ${it.category} ${it.aggregate} ${it.consumerId}`, it] as const
    ),
  );
  const sum = [...each.values()].reduce((sum, { parked }) => sum + parked, 0);
  return leastText(sum, consumers.some(({ isParkedMore }) => isParkedMore));
}

/** Where the parked messages are: the consumer that has them, or the list of those that have some. */
function parkedUrl(consumers: readonly ConsumerRow[]): string | undefined {
  const having = consumers.filter(mayHaveParked);
  const [first] = having;
  if (first === undefined) return undefined;
  return having.every((it) => isSameConsumer(it, first))
    ? consumerUrl(first)
    : viewUrl(["consumers"], { parked: 1 });
}

function Tile(
  { name, value, children, url, isBad = false }: {
    readonly name: string;
    readonly value: string;
    readonly children: ComponentChildren;
    /** The view that shows more of it. */
    readonly url?: string | undefined;
    readonly isBad?: boolean;
  },
): JSX.Element {
  return (
    <div class="tile">
      <h2>{url === undefined ? name : <ViewLink url={url}>{name}</ViewLink>}</h2>
      <p class={`value${isBad ? " bad-text" : ""}`}>{value}</p>
      <p class="faint">{children}</p>
    </div>
  );
}

const MOST = 10;

function TopCategories({ stores }: { readonly stores: readonly StoreOf[] }): JSX.Element {
  const [isBySize, setIsBySize] = useState(true);
  const all = useMemo(
    () => categoriesOf(stores).filter(({ category }) => !isOwnCategory(category)),
    [stores],
  );
  if (all.length === 0) return <Empty>No messages yet.</Empty>;
  const top = all
    .toSorted(isBySize ? (a, b) => b.count - a.count : byLast)
    .slice(0, MOST);
  const most = Math.max(...all.map(({ count }) => count));
  return (
    <>
      <div class="tabs small" role="group" aria-label="Order">
        <button type="button" aria-pressed={isBySize} onClick={() => setIsBySize(true)}>
          Largest
        </button>
        <button type="button" aria-pressed={!isBySize} onClick={() => setIsBySize(false)}>
          Latest
        </button>
      </div>
      <table class="plain">
        <thead class="sr">
          <tr>
            <th>Category</th>
            <th>Messages</th>
            <th>Last message</th>
          </tr>
        </thead>
        <tbody>
          {top.map(({ category, count, isEstimate, lastAt, partition }) => (
            <tr key={`${partition} ${category}`}>
              <td class="grow-cell">
                <ViewLink url={viewUrl(["categories", category])} class="mono">
                  <Foreign text={category} most={80} />
                </ViewLink>
                {partition !== null && <span class="kind">partition {partition}</span>}
              </td>
              <td class="number share">
                <span class="bar" style={{ width: `${Math.max(2, 100 * count / most)}%` }} />
                <span>{isEstimate && "≈ "}{numberText(count)}</span>
              </td>
              <td class="ago">
                <Ago time={lastAt} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <More url={viewUrl(["categories"])} count={all.length} what="categories" />
    </>
  );
}

function TopConsumers({ consumers }: { readonly consumers: readonly ConsumerRow[] }): JSX.Element {
  const live = consumers.filter(({ health }) => health !== "replaced").sort(byHealth);
  if (live.length === 0) return <Empty>No consumer has stored a position.</Empty>;
  return (
    <>
      <p class="counts">
        {SHOWN_HEALTHS.map((health) => {
          const count = live.filter((it) => healthOf(it) === health).length;
          return count > 0 && (
            <span key={health}>
              <Health of={health} /> {count}
            </span>
          );
        })}
      </p>
      <table class="plain">
        <thead class="sr">
          <tr>
            <th>Health</th>
            <th>Consumer</th>
            <th>Behind</th>
            <th>Parked</th>
          </tr>
        </thead>
        <tbody>
          {live.slice(0, MOST).map((it) => (
            <tr key={keyOfConsumer(it)}>
              <td class="health-cell">
                <Health of={healthOf(it)} />
              </td>
              <td class="grow-cell">
                <ConsumerName of={it} />
              </td>
              <td class="number">
                {mayWait(it) && behindQuantity(it.behind, it.isBehindMore)}
              </td>
              <td class="number">
                {mayHaveParked(it) && <span class="bad-text">{parkedText(it)} parked</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <More url={viewUrl(["consumers"])} count={live.length} what="consumers" />
    </>
  );
}

function More(
  { url, count, what }: { readonly url: string; readonly count: number; readonly what: string },
): JSX.Element | null {
  if (count <= MOST) return null;
  return (
    <p class="more">
      <ViewLink url={url}>All {numberText(count)} {what}</ViewLink>
    </p>
  );
}
