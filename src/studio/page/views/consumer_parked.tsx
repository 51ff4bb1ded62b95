import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { CallAnswer } from "../lib/call.ts";
import { type ConsumerRow, identityOf, parkedText } from "../lib/consumers.ts";
import { numberText } from "../lib/format.ts";
import { messageUrl } from "../lib/links.ts";
import { markedText } from "../lib/marks.ts";
import { viewUrl } from "../lib/place.ts";
import { hasHandlers, useMay, useOpened } from "../lib/rights.ts";
import { useCall } from "../lib/use_call.ts";
import { useLast } from "../lib/use_last.ts";
import { Foreign } from "../parts/foreign.tsx";
import { ViewLink } from "../parts/link.tsx";
import { StreamLink } from "../parts/message_cells.tsx";
import { CallOutcome } from "../parts/states.tsx";
import { Ago } from "../parts/when.tsx";
import { AT_ONCE, type Deed, DeedDialog, HowToReplay } from "./parked_deeds.tsx";

type ParkedOne = CallAnswer<"parked">[number];

/** What is shown of them: so many, from a position of their stream on. */
interface ParkedPage {
  readonly position: number;
  readonly batchSize: number;
}

const FIRST: ParkedPage = { position: 0, batchSize: 100 };

/** What a consumer has parked: why, how often it was tried, and what can be done. */
export function ParkedSection({ consumer }: { readonly consumer: ConsumerRow }): JSX.Element {
  const [page, setPage] = useState(FIRST);
  const args = { ...identityOf(consumer), ...page };
  const called = useCall("parked", args, Infinity, parkedText(consumer));
  const { answer } = called;
  const shown = useLast(answer && { parked: answer, page });
  return (
    <section>
      <h2>Parked messages</h2>
      <CallOutcome of={{ ...called, answer: shown }}>
        {({ parked, page: { position } }) => (
          <>
            {parked.length === 0 && (
              <p class="faint">{position === 0 ? "None." : "None after those that were shown."}</p>
            )}
            <List parked={parked} consumer={consumer} reload={called.reload} />
          </>
        )}
      </CallOutcome>
      {shown && <Pages {...shown} isLoading={answer === undefined} show={setPage} />}
    </section>
  );
}

/** Says what is shown if that is not all, and goes on. */
function Pages(
  { parked, page: { position, batchSize }, isLoading, show }: {
    readonly parked: readonly ParkedOne[];
    readonly page: ParkedPage;
    readonly isLoading: boolean;
    readonly show: (page: ParkedPage) => void;
  },
): JSX.Element | null {
  const last = parked.length === batchSize ? parked.at(-1) : undefined;
  if (last === undefined && position === 0) return null;
  const most = numberText(AT_ONCE);
  const onward = batchSize < AT_ONCE ? `Show ${most}` : `Show the next ${most}`;
  const next = batchSize < AT_ONCE ? position : (last?.position ?? 0) + 1;
  return (
    <div class="actions start">
      {parked.length > 0 && (
        <span class="faint">
          {position === 0 ? "The first " : ""}
          {numberText(parked.length)} are shown.
        </span>
      )}
      {last && (
        <button type="button" onClick={() => show({ position: next, batchSize: AT_ONCE })}>
          {isLoading ? "Loading…" : onward}
        </button>
      )}
      {position > 0 && <button type="button" onClick={() => show(FIRST)}>Show the first</button>}
    </div>
  );
}

/** The messages, what can be done with those that are chosen, and the dialog that does it. */
function List(
  { parked, consumer, reload }: {
    readonly parked: readonly ParkedOne[];
    readonly consumer: ConsumerRow;
    readonly reload: () => void;
  },
): JSX.Element {
  const may = useMay();
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set());
  const [deed, setDeed] = useState<Deed>();
  const hasHandler = hasHandlers(useOpened(), consumer);
  const can = { replay: may("replayParked") && hasHandler, discard: may("discardParked") };
  const canChoose = can.replay || can.discard;
  const choose = (id: string) => {
    const next = new Set(marked);
    if (!next.delete(id)) next.add(id);
    setMarked(next);
  };
  const done = () => {
    setMarked(new Set());
    reload();
  };
  return (
    <>
      {parked.length > 0 && (
        <>
          {canChoose && (
            <Actions
              all={parked.map(({ message }) => message.id)}
              marked={marked}
              mark={(ids) => setMarked(new Set(ids))}
              can={can}
              begin={setDeed}
            />
          )}
          <ParkedTable parked={parked} chosen={marked} choose={canChoose ? choose : undefined} />
          {may("replayParked") && !hasHandler && <HowToReplay consumer={consumer} />}
        </>
      )}
      {deed && (
        <DeedDialog
          deed={deed}
          consumer={consumer}
          close={() => setDeed(undefined)}
          done={done}
        />
      )}
    </>
  );
}

function Actions(
  { all, marked, mark, can, begin }: {
    readonly all: readonly string[];
    readonly marked: ReadonlySet<string>;
    readonly mark: (ids: readonly string[]) => void;
    readonly can: Readonly<Record<Deed["verb"], boolean>>;
    readonly begin: (deed: Deed) => void;
  },
): JSX.Element {
  // What was marked may be gone: another has replayed it, or another page is shown.
  const ids = all.filter((id) => marked.has(id));
  const isAll = ids.length === all.length;
  const count = numberText(ids.length);
  return (
    <div class="actions start">
      <label class="check">
        <input type="checkbox" checked={isAll} onChange={() => mark(isAll ? [] : all)} />
        All shown
      </label>
      {can.replay && (
        <button type="button" onClick={() => begin({ verb: "replay", ids })}>
          {ids.length === 0 ? "Replay all…" : `Replay ${count}…`}
        </button>
      )}
      {can.discard && (
        <button
          type="button"
          disabled={ids.length === 0}
          title={ids.length === 0 ? "Choose what to discard" : undefined}
          onClick={() => begin({ verb: "discard", ids })}
        >
          {ids.length === 0 ? "Discard…" : `Discard ${count}…`}
        </button>
      )}
    </div>
  );
}

function ParkedTable(
  { parked, chosen, choose }: {
    readonly parked: readonly ParkedOne[];
    readonly chosen: ReadonlySet<string>;
    readonly choose: ((id: string) => void) | undefined;
  },
): JSX.Element {
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="Parked messages">
      <table class="plain parked">
        <thead>
          <tr>
            {choose && (
              <th>
                <span class="sr">Chosen</span>
              </th>
            )}
            <th>Message</th>
            <th>Stream</th>
            <th>Why</th>
            <th class="number">Attempts</th>
            <th>Parked</th>
            <th>
              <span class="sr">Cause</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {parked.map(({ message, error, reason, attempts, time, position }) => (
            <tr key={position}>
              {choose && (
                <td>
                  <input
                    type="checkbox"
                    aria-label={`Choose ${markedText(message.type)} of ${
                      markedText(message.streamName)
                    }`}
                    checked={chosen.has(message.id)}
                    onChange={() => choose(message.id)}
                  />
                </td>
              )}
              <td>
                <ViewLink url={messageUrl(message.id)}>
                  <Foreign text={message.type} most={80} />
                </ViewLink>
              </td>
              <td>
                <StreamLink name={message.streamName} position={message.position} />
              </td>
              <td class="why">
                <Why error={error} reason={reason} />
              </td>
              <td class="number">{attempts}</td>
              <td>
                <Ago time={time} />
              </td>
              <td>
                <ViewLink url={viewUrl(["trace", message.id])}>Cause</ViewLink>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Why(
  { error, reason }: { readonly error: ParkedOne["error"]; readonly reason: string | undefined },
): JSX.Element {
  if (reason !== undefined) return <Foreign text={reason} most={400} />;
  if (error === null) return <span class="faint">the handler has answered "park"</span>;
  return (
    <>
      <span class="bad-text">
        <Foreign text={error.name} most={60} />
      </span>: <Foreign text={error.message} most={400} />
    </>
  );
}
