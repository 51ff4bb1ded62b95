import { typedPosition } from "../lib/typed.ts";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { announce } from "../lib/announce.ts";
import { call, type CallAnswer } from "../lib/call.ts";
import { type ConsumerRow, identityOf } from "../lib/consumers.ts";
import { numberText, quantity } from "../lib/format.ts";
import { readTime } from "../lib/times.ts";
import { useCall } from "../lib/use_call.ts";
import { Confirm } from "../parts/dialog.tsx";
import { CallOutcome } from "../parts/states.tsx";
import { valueTo } from "../parts/write_dialog.tsx";

type Goal = "beginning" | "position" | "time" | "end";

export function RewindButton({ consumer }: { readonly consumer: ConsumerRow }): JSX.Element {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setIsOpen(true)}>Rewind…</button>
      {isOpen && <RewindDialog consumer={consumer} close={() => setIsOpen(false)} />}
    </>
  );
}

/** Sets the position of a consumer, after a preview of what that means. */
function RewindDialog(
  { consumer, close }: { readonly consumer: ConsumerRow; readonly close: () => void },
): JSX.Element {
  const [goal, setGoal] = useState<Goal>("position");
  const [value, setValue] = useState(String(consumer.position));
  const position = useSettled(positionOf(goal, value));
  const identity = identityOf(consumer);
  const args = position === undefined ? undefined : { ...identity, position };
  const plan = useCall("planRewind", args);
  const act = async () => {
    const done = await call("rewind", { ...identity, position: plan.answer!.position });
    announce(`The consumer goes on at ${numberText(done.position)}`);
  };
  return (
    <Confirm
      title="Rewind the consumer"
      verb="Rewind it"
      act={act}
      close={close}
      isReady={plan.answer !== undefined && !plan.isLoading}
      isDangerous
    >
      <p>
        The consumer goes on from another position, back or forward. A running one notices it with
        its next poll. What it has parked stays parked.
      </p>
      <fieldset>
        <legend>Go on from</legend>
        {(["beginning", "position", "time", "end"] as const).map((it) => (
          <label key={it} class="check">
            <input
              type="radio"
              name="goal"
              checked={goal === it}
              onChange={() =>
                setGoal(it)}
            />
            {GOALS[it]}
          </label>
        ))}
      </fieldset>
      {goal === "position" && (
        <label>
          Global position of the first message to handle
          <input type="number" min={0} value={value} onInput={valueTo(setValue)} />
        </label>
      )}
      {goal === "time" && (
        <label>
          Messages written then or later
          <input
            type="text"
            placeholder="2 h, today, 2026-01-31 12:00"
            onInput={({ currentTarget }) => setValue(readTime(currentTarget.value) ?? "")}
          />
        </label>
      )}
      <CallOutcome of={plan} what="Counting what it would handle">
        {(answer) => <Plan plan={answer} />}
      </CallOutcome>
    </Confirm>
  );
}

const GOALS: Readonly<Record<Goal, string>> = {
  beginning: "the beginning",
  position: "a position",
  time: "a time",
  end: "the end",
};

function positionOf(goal: Goal, value: string): number | string | undefined {
  if (goal === "beginning" || goal === "end") return goal;
  if (goal === "position") return typedPosition(value);
  return Number.isNaN(Date.parse(value)) || /^\d*$/.test(value) ? undefined : value;
}

/** A value when it has not changed for a moment: one that is typed is not asked for at each key. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 300);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function Plan({ plan }: { readonly plan: CallAnswer<"planRewind"> }): JSX.Element {
  return (
    <div class="plan">
      <p>
        It goes on at global position <strong>{numberText(plan.position)}</strong>:
      </p>
      <ul>
        {plan.members.map(({ streamName, from, again, never, isMore, owner }) => (
          <li key={streamName}>
            <code>{streamName}</code>, now at {numberText(from)}: {again === 0 && never === 0
              ? "nothing is handled again, nothing is left out"
              : again > 0
              ? `${quantity(again, "message")}${isMore ? " or more" : ""} handled again`
              : `${quantity(never, "message")}${isMore ? " or more" : ""} never handled`}
            {owner !== null && ". A process holds it, and goes on from there"}
          </li>
        ))}
      </ul>
    </div>
  );
}
