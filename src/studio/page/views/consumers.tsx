import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { byHealth, keyOfConsumer, mayHaveParked, useConsumers } from "../lib/consumers.ts";
import { currentPlace, go, goWith } from "../lib/place.ts";
import { useValue } from "../lib/store.ts";
import { columnsOfConsumers, consumerUrl } from "../parts/consumer_cells.tsx";
import { ViewHead } from "../parts/head.tsx";
import { RowTable } from "../parts/rows.tsx";
import { CallOutcome, Empty } from "../parts/states.tsx";

/** All consumers, trouble first. */
export function ConsumersView(): JSX.Element {
  const called = useConsumers();
  const { query } = useValue(currentPlace);
  const showsReplaced = query.get("replaced") === "1";
  const isParkedOnly = query.get("parked") === "1";
  const columns = useMemo(() => columnsOfConsumers(called.lags), [called.lags]);
  const { answer } = called;
  const rows = useMemo(
    () =>
      (answer?.consumers ?? [])
        .filter(({ health }) => showsReplaced || health !== "replaced")
        .filter((it) => !isParkedOnly || mayHaveParked(it))
        .sort(byHealth),
    [answer, showsReplaced, isParkedOnly],
  );
  return (
    <div class="page full">
      <ViewHead title="Consumers">
        <Choice name="parked" text="Only with parked messages" isChosen={isParkedOnly} />
        <Choice name="replaced" text="Replaced ones" isChosen={showsReplaced} />
      </ViewHead>
      <CallOutcome of={called}>
        {() => (
          <RowTable
            label="Consumers"
            columns={columns}
            rows={rows}
            keyOf={keyOfConsumer}
            open={(it) => go(consumerUrl(it))}
            foot={rows.length === 0 && (
              <Empty>
                {isParkedOnly
                  ? "No consumer has parked messages."
                  : "No consumer has stored a position in this store."}
              </Empty>
            )}
          />
        )}
      </CallOutcome>
    </div>
  );
}

/** A filter of the URL that is on or off. */
function Choice(
  { name, text, isChosen }: {
    readonly name: string;
    readonly text: string;
    readonly isChosen: boolean;
  },
): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={isChosen}
        onChange={({ currentTarget }) =>
          goWith({ [name]: currentTarget.checked ? "1" : undefined })}
      />
      {text}
    </label>
  );
}
