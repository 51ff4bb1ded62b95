import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { announce } from "../lib/announce.ts";
import { call } from "../lib/call.ts";
import { type ConsumerRow, identityOf, parkedText } from "../lib/consumers.ts";
import { numberText, quantity } from "../lib/format.ts";
import { codeText } from "../lib/marks.ts";
import { Confirm } from "../parts/dialog.tsx";
import { ForeignCode } from "../parts/foreign.tsx";
import { valueTo } from "../parts/write_dialog.tsx";

/** So many parked messages are shown, replayed or discarded at once, at most. */
export const AT_ONCE = 1000;

/** What is to be done with which parked messages: as they were chosen when one said so. */
export interface Deed {
  readonly verb: "replay" | "discard";
  /** None: all are replayed. */
  readonly ids: readonly string[];
}

interface DeedProps {
  readonly deed: Deed;
  readonly consumer: ConsumerRow;
  readonly close: () => void;
  readonly done: () => void;
}

export function DeedDialog(props: DeedProps): JSX.Element {
  return props.deed.verb === "replay" ? <ReplayDialog {...props} /> : <DiscardDialog {...props} />;
}

function ReplayDialog({ deed: { ids }, consumer, close, done }: DeedProps): JSX.Element {
  const [sum, setSum] = useState({ replayed: 0, parked: 0 });
  const isBegun = sum.replayed > 0;
  const act = async () => {
    const args = { ...identityOf(consumer), ...(ids.length > 0 && { ids }), limit: AT_ONCE };
    const { busy, ...found } = await call("replayParked", args);
    const next = {
      replayed: sum.replayed + found.replayed,
      parked: sum.parked + found.parked,
    };
    done();
    // Where all fail again, a further round would go through the same ones.
    const isOfUse = found.parked < found.replayed;
    if (ids.length === 0 && found.replayed === AT_ONCE && !busy && isOfUse) {
      setSum(next);
      return `${replayedText(next)}. More may be parked`;
    }
    announce(`${replayedText(next)}${busy ? "; another process replays the rest" : ""}`);
  };
  return (
    <Confirm
      title="Replay parked messages"
      verb={isBegun ? "Replay on" : "Replay"}
      act={act}
      close={close}
    >
      <p>
        {whichText(ids, consumer)} of <ForeignCode text={consumer.consumerId ?? ""} />{" "}
        {ids.length === 1 ? "is" : "are"}{" "}
        handled once more, by the handler that this studio was given, in the order in which they
        were parked. What fails again is parked again. A replayed message takes effect after later
        messages of its stream.
      </p>
      <p role="status">{isBegun && `${replayedText(sum)}. More may be parked.`}</p>
    </Confirm>
  );
}

function whichText(ids: readonly string[], consumer: ConsumerRow): string {
  if (ids.length > 0) return quantity(ids.length, "parked message");
  const { parked, isParkedMore } = consumer;
  if (!isParkedMore && parked <= AT_ONCE) return "All parked messages";
  const first = `The first ${numberText(AT_ONCE)}`;
  return parked < AT_ONCE
    ? `${first} parked messages, or all if there are fewer,`
    : `${first} of ${parkedText(consumer)} parked messages`;
}

function replayedText(
  { replayed, parked }: { readonly replayed: number; readonly parked: number },
): string {
  const again = parked > 0 ? `, ${numberText(parked)} of them parked again` : "";
  return `Replayed ${quantity(replayed, "message")}${again}`;
}

function DiscardDialog({ deed: { ids }, consumer, close, done }: DeedProps): JSX.Element {
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
        {quantity(ids.length, "parked message")} of <ForeignCode text={consumer.consumerId ?? ""} />
        {" "}
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
export function HowToReplay({ consumer }: { readonly consumer: ConsumerRow }): JSX.Element {
  const { category, aggregate, consumerId, partition } = consumer;
  const isOfOne = category === "$all" && partition !== undefined;
  const sql = isOfOne ? `partitions(sql)[${partition}]` : "sql";
  const kind = category === undefined ? "aggregate" : "category";
  const names = `${kind}: ${codeText(category ?? aggregate ?? "")}, consumerId: ${
    codeText(consumerId ?? "")
  }`;
  return (
    <div class="note">
      <p>
        A replay runs the consumer's handler, and this studio was not given it. In a program that
        has the handler:
      </p>
      <pre class="mono">{[
        `import { ${isOfOne ? "partitions, " : ""}replayParked } from "@messagedb/client";`,
        "",
        `await replayParked(${sql}, { ${names}, handle });`,
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
