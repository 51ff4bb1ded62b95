import { typedPosition } from "../lib/typed.ts";
import type { JSX } from "preact";
import { useEffect, useId, useMemo, useState } from "preact/hooks";
import { announce } from "../lib/announce.ts";
import { call, type CallAnswer } from "../lib/call.ts";
import { type ConsumerRow, identityOf } from "../lib/consumers.ts";
import { markedText } from "../lib/marks.ts";
import { numberText, quantity } from "../lib/format.ts";
import { readTime, timeProblem, TIMES } from "../lib/times.ts";
import { useCall } from "../lib/use_call.ts";
import { useSettled } from "../lib/use_settled.ts";
import { Confirm } from "../parts/dialog.tsx";
import { ForeignCode } from "../parts/foreign.tsx";
import { CallOutcome, Loading } from "../parts/states.tsx";
import { valueTo } from "../parts/write_dialog.tsx";

type Goal = "beginning" | "position" | "time" | "end";

/** What is chosen, as it is typed. */
interface Choice {
  readonly goal: Goal;
  readonly position: string;
  readonly time: string;
  /** Whether somebody has chosen it. */
  readonly isChanged: boolean;
}

export function RewindButton(
  { consumer, members }: {
    readonly consumer: ConsumerRow;
    readonly members: readonly ConsumerRow[];
  },
): JSX.Element {
  const [isOpen, setIsOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setIsOpen(true)}>Rewind…</button>
      {isOpen && (
        <RewindDialog
          consumer={consumer}
          members={members}
          close={() => setIsOpen(false)}
        />
      )}
    </>
  );
}

/** Sets the position of a consumer, after a preview of what that means. */
function RewindDialog(
  { consumer, members, close }: {
    readonly consumer: ConsumerRow;
    readonly members: readonly ConsumerRow[];
    readonly close: () => void;
  },
): JSX.Element {
  const [choice, setChoice] = useState<Choice>(() => ({
    goal: "position",
    position: unchanged(members.map((it) => it.position)),
    time: "",
    isChanged: false,
  }));
  // "2 h" is one time, however long one looks at it.
  const chosen = useMemo(() => positionOf(choice), [choice]);
  const settled = useSettled(chosen);
  const identity = identityOf(consumer);
  const plan = useCall(
    "planRewind",
    settled === undefined ? undefined : { ...identity, position: settled },
    Infinity,
    members.map((it) => it.position).join(),
  );
  // The table may be some seconds old. Until one chooses, the dialog is to change nothing.
  const current = plan.answer && unchanged(plan.answer.members.map(({ from }) => from));
  useEffect(() => {
    if (current === undefined) return;
    setChoice((it) => it.isChanged ? it : { ...it, position: current });
  }, [current]);
  // What is done is what was chosen, and what one sees: never the plan of a choice before.
  const planned = settled === chosen && !plan.isLoading ? plan.answer?.position : undefined;
  const act = async () => {
    const done = await call("rewind", { ...identity, position: planned! });
    announce(`The consumer goes on at ${numberText(done.position)}`);
  };
  return (
    <Confirm
      title="Rewind the consumer"
      verb={planned === undefined ? "Rewind it" : `Rewind it to ${numberText(planned)}`}
      act={act}
      close={close}
      isReady={planned !== undefined}
      isDangerous
    >
      <p>
        The consumer goes on from another position, back or forward. A running one notices it with
        its next poll. What it has parked stays parked.
      </p>
      <ChoiceFields
        choice={choice}
        change={(it) => setChoice((before) => ({ ...before, ...it, isChanged: true }))}
      />
      {settled === chosen
        ? (
          <CallOutcome of={plan} what={COUNTING}>
            {(answer) => <Plan plan={answer} />}
          </CallOutcome>
        )
        : <Loading what={COUNTING} />}
    </Confirm>
  );
}

const COUNTING = "Counting what it would handle";
const GOALS: Readonly<Record<Goal, string>> = {
  beginning: "the beginning",
  position: "a position",
  time: "a time",
  end: "the end",
};

function ChoiceFields(
  { choice: { goal, position, time }, change }: {
    readonly choice: Choice;
    readonly change: (changes: Partial<Choice>) => void;
  },
): JSX.Element {
  return (
    <>
      <fieldset>
        <legend>Go on from</legend>
        {(["beginning", "position", "time", "end"] as const).map((it) => (
          <label key={it} class="check">
            <input
              type="radio"
              name="goal"
              checked={goal === it}
              onChange={() =>
                change({ goal: it })}
            />
            {GOALS[it]}
          </label>
        ))}
      </fieldset>
      {goal === "position" && (
        <GoalField
          key={goal}
          label="Global position of the first message to handle"
          example="a whole number from 0"
          value={position}
          set={(position) => change({ position })}
          problem={positionProblem(position)}
        />
      )}
      {goal === "time" && (
        <GoalField
          key={goal}
          label="Messages written then or later"
          example={TIMES}
          value={time}
          set={(time) => change({ time })}
          problem={timeProblem(time)}
        />
      )}
    </>
  );
}

/** A field, and what is wrong in it or, as long as it is empty, what is taken. */
function GoalField(
  { label, example, value, set, problem }: {
    readonly label: string;
    readonly example: string;
    readonly value: string;
    readonly set: (value: string) => void;
    readonly problem: string | undefined;
  },
): JSX.Element {
  const id = useId();
  return (
    <>
      <label>
        {label}
        <input
          type="text"
          autocomplete="off"
          aria-invalid={problem !== undefined}
          aria-describedby={id}
          value={value}
          onInput={valueTo(set)}
        />
      </label>
      <p id={id} role="status" class={problem === undefined ? "faint" : "problem"}>
        {problem ?? (value.trim() === "" && `Type ${example}`)}
      </p>
    </>
  );
}

function positionProblem(text: string): string | undefined {
  if (text.trim() === "" || typedPosition(text.trim()) !== undefined) return undefined;
  return `Cannot read "${markedText(text, 40)}" as a position: type a whole number from 0`;
}

function positionOf({ goal, position, time }: Choice): number | string | undefined {
  if (goal === "position") return typedPosition(position.trim());
  return goal === "time" ? readTime(time) : goal;
}

/** From where they go on by themselves; empty if that is not one position for all members. */
function unchanged(positions: readonly number[]): string {
  const [position, ...others] = new Set(positions);
  return position === undefined || others.length > 0 ? "" : String(position + 1);
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
            <ForeignCode text={streamName} />, now at {numberText(from)}:{" "}
            {again === 0 && never === 0
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
