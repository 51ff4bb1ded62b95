import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import {
  behindCount,
  behindQuantity,
  byHealth,
  type ConsumerRow,
  healthOf,
  isSameConsumer,
  keyOfConsumer,
  type LagHistory,
  lagOf,
  mayHaveParked,
  parkedText,
  SHOWN_HEALTHS,
  type ShownHealth,
  sourceOf,
  useConsumers,
} from "../lib/consumers.ts";
import { ageText, numberText, quantity } from "../lib/format.ts";
import { currentPlace, viewUrl } from "../lib/place.ts";
import { useMay } from "../lib/rights.ts";
import { useValue } from "../lib/store.ts";
import { Health } from "../parts/consumer_cells.tsx";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { ViewLink } from "../parts/link.tsx";
import { StreamLink } from "../parts/message_cells.tsx";
import { Fact } from "../parts/message_view.tsx";
import { Plot } from "../parts/plot.tsx";
import { CallOutcome, Empty } from "../parts/states.tsx";
import { Ago } from "../parts/when.tsx";
import { NextOf } from "./consumer_next.tsx";
import { ParkedSection } from "./consumer_parked.tsx";
import { RewindButton } from "./consumer_rewind.tsx";

/** The next message of each member is asked for by itself. */
const MOST_NEXT = 8;
const MOST_MEMBERS = 100;

/** One consumer: its members, its lag, what it meets next, and what it has parked. */
export function ConsumerView({ name }: { readonly name: string }): JSX.Element {
  const given = useValue(currentPlace).query.get("partition");
  const called = useConsumers();
  const trail = [{ url: viewUrl(["consumers"]), text: "Consumers" }];
  return (
    <CallOutcome of={called}>
      {({ consumers }) => {
        const here = consumers.filter(({ partition }) =>
          given === null || String(partition) === given
        );
        const found = here.find((it) => it.streamName === name) ??
          here.find((it) => `${sourceOf(it)}/${it.consumerId}` === name);
        if (found === undefined) {
          return (
            <div class="page narrow">
              <ViewHead title={<Foreign text={name} most={120} />} trail={trail} />
              <Empty>
                The store has no position of this consumer. It has never stored one, or was removed.
              </Empty>
            </div>
          );
        }
        const members = consumers.filter((it) => isSameConsumer(it, found));
        return (
          <Found key={keyOfConsumer(found)} consumer={found} members={members} lags={called.lags} />
        );
      }}
    </CallOutcome>
  );
}

function Found(
  { consumer, members, lags }: {
    readonly consumer: ConsumerRow;
    readonly members: readonly ConsumerRow[];
    readonly lags: LagHistory;
  },
): JSX.Element {
  const may = useMay();
  const { consumerId, aggregate, partition } = consumer;
  const name = consumerId ?? aggregate ?? "";
  const live = members.filter(({ health }) => health !== "replaced");
  const isMany = live.length > MOST_NEXT;
  const next = isMany ? live.toSorted(byHealth).slice(0, MOST_NEXT) : live;
  return (
    <div class="page narrow">
      <ViewHead
        title={
          <>
            <span class="mono">
              <Foreign text={name} most={80} />
            </span>{" "}
            <span class="of">of</span>{" "}
            <span class="mono">
              <Foreign text={sourceOf(consumer)} most={80} />
            </span>
            {partition !== undefined && <span class="kind">partition {partition}</span>}
          </>
        }
        trail={[{ url: viewUrl(["consumers"]), text: "Consumers" }]}
      >
        {may("rewind") && consumerId !== null && (
          <RewindButton
            consumer={consumer}
            members={live}
          />
        )}
      </ViewHead>
      <Sentence of={consumer} members={members} />
      <Types of={consumer} />
      <Members members={members} />
      <Lag members={members} lags={lags} />
      {consumerId !== null && (
        <>
          {next.map((member) => <NextOf key={keyOfConsumer(member)} consumer={member} />)}
          {isMany && (
            <p class="faint">
              The next messages of the first {MOST_NEXT} members are shown, trouble first.
            </p>
          )}
          <ParkedSection consumer={consumer} />
        </>
      )}
    </div>
  );
}

/** What its health means. */
function Sentence(
  { of, members }: { readonly of: ConsumerRow; readonly members: readonly ConsumerRow[] },
): JSX.Element {
  const health = SHOWN_HEALTHS.find((it) => members.some((member) => healthOf(member) === it)) ??
    healthOf(of);
  const isHeld = of.consumerId === null || members.some(({ owner }) => owner !== null);
  const texts: Readonly<Record<ShownHealth, string>> = {
    stuck:
      "A process holds the position and does not get on: its handler hangs or fails again and " +
      "again, or the process is gone.",
    stopped: "Messages wait, and no process holds the consumer: start it.",
    "not held": "Messages wait, and no process holds the consumer. With exclusive: false, none " +
      "ever does.",
    busy: "Messages wait, and the consumer gets on with them.",
    idle: isHeld
      ? "No message waits."
      : "No message waits, and no process holds the consumer: the next message will wait.",
    replaced: "Another size of the group is in use: nobody needs this position any more.",
  };
  return (
    <p class="sentence">
      <Health of={health} />: {texts[health]}
      {mayHaveParked(of) && (
        <span class="bad-text">
          {" "}
          {parkedText(of) === "1" ? "A message is" : `${parkedText(of)} messages are`} parked.
        </span>
      )}
    </p>
  );
}

function Types({ of: { types } }: { readonly of: ConsumerRow }): JSX.Element {
  return (
    <dl class="facts">
      <Fact name="Handles">
        {types === undefined
          ? <span class="faint">all types, or it has not recorded which</span>
          : types.map((type) => (
            <span key={type} class="chip">
              <Foreign text={type} most={80} />
            </span>
          ))}
      </Fact>
    </dl>
  );
}

function Members({ members }: { readonly members: readonly ConsumerRow[] }): JSX.Element {
  const isCut = members.length > MOST_MEMBERS;
  const shown = isCut ? members.toSorted(byHealth).slice(0, MOST_MEMBERS) : members;
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Members">
      <table class="plain">
        <thead>
          <tr>
            <th>Member</th>
            <th>Health</th>
            <th class="number">Behind</th>
            <th class="number">Oldest waits</th>
            <th class="number">Position</th>
            <th class="number">Head</th>
            <th>Moved</th>
            <th>Owner</th>
            <th>Position stream</th>
          </tr>
        </thead>
        <tbody>{shown.map((member) => <Member key={keyOfConsumer(member)} of={member} />)}</tbody>
      </table>
      {isCut && (
        <p class="faint">
          {MOST_MEMBERS} of {numberText(members.length)} members are shown, trouble first.
        </p>
      )}
    </div>
  );
}

function Member({ of }: { readonly of: ConsumerRow }): JSX.Element {
  const { consumerGroup, health, oldestAge, position, head, movedAt, owner, heldSince } = of;
  const isOfPartition = of.partition !== undefined;
  return (
    <tr class={health === "replaced" ? "own" : ""}>
      <td>{consumerGroup ? `${consumerGroup.member + 1} of ${consumerGroup.size}` : "alone"}</td>
      <td>
        <Health of={healthOf(of)} />
      </td>
      <td class="number">{behindCount(of)}</td>
      <td class="number">{oldestAge === null ? "" : ageText(oldestAge)}</td>
      <td class="number">
        {isOfPartition
          ? numberText(position)
          : <ViewLink url={viewUrl(["all"], { position })}>{numberText(position)}</ViewLink>}
      </td>
      <td class="number">{numberText(head)}</td>
      <td>
        <Ago time={movedAt} />
      </td>
      <td>
        {owner === null
          ? <span class="faint">nobody</span>
          : (
            <span title={heldSince === null ? "" : `since ${heldSince}`}>
              <span class="mono">
                <Foreign text={owner} most={13} />
              </span>
              {of.isAsked && <span class="kind">asked for</span>}
            </span>
          )}
      </td>
      <td>
        {isOfPartition && of.category === "$all"
          ? (
            <span class="mono">
              <Foreign text={of.streamName} most={120} />
            </span>
          )
          : <StreamLink name={of.streamName} />}
      </td>
    </tr>
  );
}

/** How far behind the consumer is, since the page is open. */
function Lag(
  { members, lags }: { readonly members: readonly ConsumerRow[]; readonly lags: LagHistory },
): JSX.Element {
  const live = members.filter(({ health }) => health !== "replaced");
  const { values, isOfPositions } = useMemo(() => lagOf(lags, live), [lags, members]);
  const data = useMemo(() => ({ times: lags.times, values }), [lags, values]);
  const behind = behindQuantity(
    live.reduce((sum, it) => sum + it.behind, 0),
    live.some(({ isBehindMore }) => isBehindMore),
  );
  const distance = isOfPositions ? `, ${quantity(values.at(-1) ?? 0, "position")}` : "";
  return (
    <section>
      <h2>
        Lag{" "}
        <span class="faint">
          while this page is open{isOfPositions &&
            ", in positions of the store: more messages wait than are counted"}
        </span>
      </h2>
      <Plot
        data={data}
        unit={isOfPositions ? "positions behind" : "messages behind"}
        sentence={`${behind}${distance} now`}
        height={120}
      />
    </section>
  );
}
