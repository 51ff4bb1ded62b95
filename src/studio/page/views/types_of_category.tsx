import type { JSX } from "preact";
import type { CallAnswer } from "../lib/call.ts";
import { textOfType } from "../lib/typed.ts";
import { numberText } from "../lib/format.ts";
import { markedText } from "../lib/marks.ts";
import { go, viewUrl } from "../lib/place.ts";
import { useCall } from "../lib/use_call.ts";
import { Foreign } from "../parts/foreign.tsx";
import { type RowColumn, RowTable } from "../parts/rows.tsx";
import { CallOutcome, Empty } from "../parts/states.tsx";
import { Ago, When } from "../parts/when.tsx";

type TypeOf = CallAnswer<"messageTypes">["types"][number];

const COLUMNS: readonly RowColumn<TypeOf>[] = [
  {
    name: "Type",
    width: "minmax(160px, 1fr)",
    phone: "first",
    cell: ({ type }) => <Foreign text={type} most={120} />,
  },
  {
    name: "Messages",
    width: "110px",
    isNumber: true,
    phone: "second",
    cell: ({ count }) => numberText(count),
  },
  { name: "Last", width: "150px", phone: "second", cell: ({ lastAt }) => <Ago time={lastAt} /> },
  { name: "First", width: "190px", cell: ({ firstAt }) => <When time={firstAt} /> },
];

/** The types of the messages of a category; each leads to its messages. */
export function TypesOfCategory({ category }: { readonly category: string }): JSX.Element {
  const called = useCall("messageTypes", { category });
  return (
    <CallOutcome of={called} what="Counting the types">
      {({ types, scanned, isComplete }) => (
        <RowTable
          label={`Types of ${markedText(category)}`}
          columns={COLUMNS}
          rows={types}
          keyOf={({ type }) => type}
          open={({ type }) =>
            go(viewUrl(["categories", category], { tab: "messages", type: textOfType(type) }))}
          foot={types.length === 0
            ? <Empty>This category has no messages.</Empty>
            : !isComplete && (
              <div class="state faint">Counted in the last {numberText(scanned)} messages</div>
            )}
        />
      )}
    </CallOutcome>
  );
}
