import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { ListedMessage } from "../../_api.ts";
import { announce } from "../lib/announce.ts";
import { call } from "../lib/call.ts";
import { type ConsumerRow, mayWait, memberIdentity } from "../lib/consumers.ts";
import { messageUrl } from "../lib/links.ts";
import { useMay } from "../lib/rights.ts";
import { useCall } from "../lib/use_call.ts";
import { Confirm } from "../parts/dialog.tsx";
import { Foreign, ForeignCode } from "../parts/foreign.tsx";
import { ViewLink } from "../parts/link.tsx";
import { StreamLink, TypeName } from "../parts/message_cells.tsx";
import { CallOutcome } from "../parts/states.tsx";
import { valueTo } from "../parts/write_dialog.tsx";
import { Ago } from "../parts/when.tsx";

/** The message that a consumer, or a member of its group, meets next. */
export function NextOf({ consumer }: { readonly consumer: ConsumerRow }): JSX.Element {
  const { consumerGroup, position } = consumer;
  const known = `${position} ${mayWait(consumer)}`;
  const called = useCall("nextMessage", memberIdentity(consumer), Infinity, known);
  // A consumer that goes on meanwhile meets another message, or none: what one has agreed to is the one that was shown.
  const [passing, setPassing] = useState<Pick<PassProps, "how" | "message">>();
  const member = consumerGroup
    ? `, member ${consumerGroup.member + 1} of ${consumerGroup.size}`
    : "";
  return (
    <section>
      <h2>Next message{member}</h2>
      <CallOutcome of={called}>
        {(message: ListedMessage | null) =>
          message === null
            ? (
              <p class="faint">
                None waits, or a transaction that is open may still write an earlier one.
              </p>
            )
            : <Next message={message} pass={(how) => setPassing({ how, message })} />}
      </CallOutcome>
      {passing && (
        <PassDialog
          {...passing}
          consumer={consumer}
          close={() => setPassing(undefined)}
          done={called.reload}
        />
      )}
    </section>
  );
}

function Next(
  { message, pass }: {
    readonly message: ListedMessage;
    readonly pass: (how: PassProps["how"]) => void;
  },
): JSX.Element {
  const may = useMay();
  return (
    <div class="next">
      <ViewLink url={messageUrl(message.id)}>
        <TypeName message={message} />
      </ViewLink>
      <StreamLink name={message.streamName} position={message.position} />
      <span class="faint">
        <Ago time={message.time} />
      </span>
      <span class="grow" />
      {may("park") && <button type="button" onClick={() => pass("park")}>Park…</button>}
      {may("skip") && <button type="button" onClick={() => pass("skip")}>Skip…</button>}
    </div>
  );
}

interface PassProps {
  readonly how: "park" | "skip";
  readonly message: ListedMessage;
  readonly consumer: ConsumerRow;
  readonly close: () => void;
  readonly done: () => void;
}

function PassDialog({ how, message, consumer, close, done }: PassProps): JSX.Element {
  const [reason, setReason] = useState("");
  const act = async () => {
    await call(how, { ...memberIdentity(consumer), id: message.id, reason });
    announce(how === "park" ? "Parked" : "Skipped");
    done();
  };
  return (
    <Confirm
      title={how === "park" ? "Park the next message" : "Skip the next message"}
      verb={how === "park" ? "Park it" : "Skip it"}
      act={act}
      close={close}
      isReady={reason.trim() !== ""}
      isDangerous={how === "skip"}
    >
      <p>
        <strong>
          <Foreign text={message.type} most={80} />
        </strong>{" "}
        at position {message.position} of <ForeignCode text={message.streamName} /> {how === "park"
          ? "is put aside, and the consumer goes on with the next message. It can be replayed later."
          : "is never handled by this consumer, which goes on with the next message."}
      </p>
      <label>
        Reason, which is kept
        <input type="text" required value={reason} onInput={valueTo(setReason)} />
      </label>
    </Confirm>
  );
}
