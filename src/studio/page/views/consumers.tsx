import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { byHealth, useConsumers } from "../lib/consumers.ts";
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
  const columns = useMemo(() => columnsOfConsumers(called.lags), [called.lags]);
  return (
    <div class="page full">
      <ViewHead title="Consumers">
        <label class="check">
          <input
            type="checkbox"
            checked={showsReplaced}
            onChange={({ currentTarget }) =>
              goWith({ replaced: currentTarget.checked ? "1" : undefined })}
          />
          Replaced ones
        </label>
      </ViewHead>
      <CallOutcome of={called}>
        {({ consumers }) => {
          const rows = consumers
            .filter(({ health }) => showsReplaced || health !== "replaced")
            .sort(byHealth);
          return (
            <RowTable
              label="Consumers"
              columns={columns}
              rows={rows}
              keyOf={({ streamName }) => streamName}
              open={(it) => go(consumerUrl(it))}
              foot={rows.length === 0 && (
                <Empty>No consumer has stored a position in this store.</Empty>
              )}
            />
          );
        }}
      </CallOutcome>
    </div>
  );
}
