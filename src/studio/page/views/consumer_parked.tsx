import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.ts";
import { call, type CallAnswer } from "../lib/call.ts";
import { type ConsumerRow, identityOf } from "../lib/consumers.ts";
import { quantity } from "../lib/format.ts";
import { messageUrl } from "../lib/links.ts";
import { viewUrl } from "../lib/place.ts";
import { hasHandlers, useMayWrite, useOpened } from "../lib/rights.ts";
import { useChange } from "../lib/use_change.ts";
import { useCall } from "../lib/use_call.ts";
import { Confirm } from "../parts/dialog.tsx";
import { Foreign } from "../parts/foreign.tsx";
import { ViewLink } from "../parts/link.tsx";
import { StreamLink } from "../parts/message_cells.tsx";
import { CallOutcome } from "../parts/states.tsx";
import { Ago } from "../parts/when.tsx";
import { valueTo } from "../parts/write_dialog.tsx";

type ParkedOne = CallAnswer<"parked">[number];
type Deed = "replay" | "discard";

const LIMIT = 100;

/** What a consumer has parked: why, how often it was tried, and what can be done. */
export function ParkedSection({ consumer }: { readonly consumer: ConsumerRow }): JSX.Element {
  const called = useCall("parked", { ...identityOf(consumer), batchSize: LIMIT });
  useChange(consumer.parked, called.renew);
  return (
    <section>
      <h2>Parked messages</h2>
      <CallOutcome of={called}>
        {(parked) =>
          parked.length === 0
            ? <p class="faint">None.</p>
            : <List parked={parked} consumer={consumer} reload={called.reload} />}
      </CallOutcome>
    </section>
  );
}

function List(
  { parked, consumer, reload }: {
    readonly parked: readonly ParkedOne[];
    readonly consumer: ConsumerRow;
    readonly reload: () => void;
  },
): JSX.Element {
  const mayWrite = useMayWrite();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [deed, setDeed] = useState<Deed>();
  const canReplay = hasHandlers(useOpened(), consumer);
  const choose = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const all = parked.map(({ message }) => message.id);
  const done = () => {
    setChosen(new Set());
    reload();
  };
  const props: DeedProps = { consumer, ids: [...chosen], close: () => setDeed(undefined), done };
  return (
    <>
      {mayWrite && (
        <div class="actions start">
          <label class="check">
            <input
              type="checkbox"
              checked={chosen.size === all.length}
              onChange={() => setChosen(new Set(chosen.size === all.length ? [] : all))}
            />
            All
          </label>
          {canReplay && (
            <button type="button" onClick={() => setDeed("replay")}>
              {chosen.size === 0 ? "Replay all…" : `Replay ${chosen.size}…`}
            </button>
          )}
          <button
            type="button"
            disabled={chosen.size === 0}
            title={chosen.size === 0 ? "Choose what to discard" : undefined}
            onClick={() => setDeed("discard")}
          >
            {chosen.size === 0 ? "Discard…" : `Discard ${chosen.size}…`}
          </button>
        </div>
      )}
      <ParkedTable parked={parked} chosen={chosen} choose={mayWrite ? choose : undefined} />
      {parked.length === LIMIT && <p class="faint">The first {LIMIT} are shown.</p>}
      {mayWrite && !canReplay && <HowToReplay consumer={consumer} />}
      {deed === "replay" && <ReplayDialog {...props} />}
      {deed === "discard" && <DiscardDialog {...props} />}
    </>
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
                    aria-label={`Choose ${message.type} of ${message.streamName}`}
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

interface DeedProps {
  readonly consumer: ConsumerRow;
  readonly ids: readonly string[];
  readonly close: () => void;
  readonly done: () => void;
}

function ReplayDialog({ consumer, ids, close, done }: DeedProps): JSX.Element {
  const act = async () => {
    const args = { ...identityOf(consumer), ...(ids.length > 0 && { ids }) };
    const { replayed, parked, busy } = await call("replayParked", args);
    const again = parked > 0 ? `, ${parked} of them parked again` : "";
    announce(
      `Replayed ${quantity(replayed, "message")}${again}${
        busy ? "; another process replays the rest" : ""
      }`,
    );
    done();
  };
  const what = ids.length === 0 ? "All parked messages" : quantity(ids.length, "parked message");
  return (
    <Confirm title="Replay parked messages" verb="Replay" act={act} close={close}>
      <p>
        {what} of <code>{consumer.consumerId}</code> {ids.length === 1 ? "is" : "are"}{" "}
        handled once more, by the handler that this studio was given, in the order in which they
        were parked. What fails again is parked again. A replayed message takes effect after later
        messages of its stream.
      </p>
    </Confirm>
  );
}

function DiscardDialog({ consumer, ids, close, done }: DeedProps): JSX.Element {
  const [reason, setReason] = useState("");
  const act = async () => {
    const { discarded } = await call("discardParked", {
      ...identityOf(consumer),
      ids,
      reason,
    });
    announce(`Discarded ${quantity(discarded, "message")}`);
    done();
  };
  return (
    <Confirm
      title="Discard parked messages"
      verb="Discard"
      act={act}
      close={close}
      isReady={reason.trim() !== ""}
      isDangerous
    >
      <p>
        {quantity(ids.length, "parked message")} of <code>{consumer.consumerId}</code>{" "}
        {ids.length === 1 ? "is" : "are"}{" "}
        not handled any more. The messages stay in their streams, and the reason stays with what was
        parked.
      </p>
      <label>
        Reason, which is kept
        <input type="text" required value={reason} onInput={valueTo(setReason)} />
      </label>
    </Confirm>
  );
}

/** A replay runs the handler, which the studio has only if it was given the consumer. */
function HowToReplay({ consumer }: { readonly consumer: ConsumerRow }): JSX.Element {
  const { category, aggregate, consumerId, partition } = consumer;
  const isOfOne = category === "$all" && partition !== undefined;
  const sql = isOfOne ? `partitions(sql)[${partition}]` : "sql";
  const source = category === undefined ? `aggregate: "${aggregate}"` : `category: "${category}"`;
  return (
    <div class="note">
      <p>
        A replay runs the consumer's handler, and this studio was not given it. In a program that
        has the handler:
      </p>
      <pre class="mono">{[
        `import { ${isOfOne ? "partitions, " : ""}replayParked } from "@messagedb/client";`,
        "",
        `await replayParked(${sql}, { ${source}, consumerId: "${consumerId}", handle });`,
      ].join("\n")}</pre>
      <p>
        Or give the consumer to the studio: <code>studio(sql, {"{ consumers: [consumer] }"})</code>
        {" "}
        in a server, <code>messagedb studio --write --module ./consumer.mjs</code>{" "}
        on the command line.
      </p>
    </div>
  );
}
