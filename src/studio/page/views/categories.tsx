import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { numberText } from "../lib/format.ts";
import { currentPlace, go, goWith, viewUrl } from "../lib/place.ts";
import {
  byLast,
  categoriesOf,
  type CategoryOf,
  isOwnCategory,
  rememberCategories,
} from "../lib/status.ts";
import { useValue } from "../lib/store.ts";
import { useCall } from "../lib/use_call.ts";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { ViewLink } from "../parts/link.tsx";
import { type RowColumn, RowTable } from "../parts/rows.tsx";
import { CallOutcome, Empty } from "../parts/states.tsx";
import { Ago, When } from "../parts/when.tsx";

const COLUMNS: readonly RowColumn<CategoryOf>[] = [
  {
    name: "Category",
    width: "minmax(160px, 1fr)",
    phone: "first",
    cell: ({ category, partition }) => (
      <>
        <ViewLink url={viewUrl(["categories", category])} class="mono">
          <Foreign text={category} most={120} />
        </ViewLink>
        {isOwnCategory(category) && <span class="kind">bookkeeping</span>}
        {partition !== null && <span class="kind">partition {partition}</span>}
      </>
    ),
  },
  {
    name: "Messages",
    width: "130px",
    isNumber: true,
    phone: "second",
    cell: ({ count, isEstimate }) => `${isEstimate ? "≈ " : ""}${numberText(count)}`,
  },
  { name: "Last", width: "150px", phone: "second", cell: ({ lastAt }) => <Ago time={lastAt} /> },
  { name: "First", width: "190px", cell: ({ firstAt }) => <When time={firstAt} /> },
  {
    name: "Last position",
    width: "130px",
    isNumber: true,
    cell: ({ lastGlobalPosition }) => numberText(lastGlobalPosition),
  },
];

const SORTS: Readonly<Record<string, (a: CategoryOf, b: CategoryOf) => number>> = {
  name: (a, b) => a.category < b.category ? -1 : 1,
  count: (a, b) => b.count - a.count,
  last: byLast,
};

export function CategoriesView(): JSX.Element {
  const called = useCall("storeStatus", {}, 10_000);
  const { query } = useValue(currentPlace);
  const { answer } = called;
  useEffect(() => {
    if (answer) rememberCategories(answer);
  }, [answer]);
  const text = (query.get("text") ?? "").toLowerCase();
  const sort = SORTS[query.get("sort") ?? "name"] ?? SORTS["name"]!;
  const showsOwn = query.get("own") === "1";
  const all = useMemo(() => categoriesOf(answer?.stores ?? []), [answer]);
  const rows = useMemo(
    () =>
      all
        .filter(({ category }) => showsOwn || !isOwnCategory(category))
        .filter(({ category }) => category.toLowerCase().includes(text))
        .sort(sort),
    [all, text, sort, showsOwn],
  );
  return (
    <div class="page full">
      <ViewHead title="Categories" />
      <Filters query={query} />
      <CallOutcome of={called}>
        {() => (
          <RowTable
            label="Categories"
            columns={COLUMNS}
            rows={rows}
            keyOf={({ category, partition }) => `${partition} ${category}`}
            open={({ category }) => go(viewUrl(["categories", category]))}
            foot={rows.length === 0 && (
              <Empty>
                {all.length === 0 ? "The store has no messages yet." : "No such category."}
              </Empty>
            )}
          />
        )}
      </CallOutcome>
    </div>
  );
}

function Filters({ query }: { readonly query: URLSearchParams }): JSX.Element {
  return (
    <div class="filters" role="group" aria-label="Filters">
      <input
        type="text"
        aria-label="Part of the name"
        placeholder="Part of the name"
        value={query.get("text") ?? ""}
        onInput={({ currentTarget }) => goWith({ text: currentTarget.value }, { replaces: true })}
      />
      <select
        aria-label="Order"
        value={query.get("sort") ?? "name"}
        onChange={({ currentTarget }) => goWith({ sort: currentTarget.value })}
      >
        <option value="name">By name</option>
        <option value="count">Largest first</option>
        <option value="last">Latest first</option>
      </select>
      <label class="check">
        <input
          type="checkbox"
          checked={query.get("own") === "1"}
          onChange={({ currentTarget }) => goWith({ own: currentTarget.checked ? "1" : undefined })}
        />
        Bookkeeping
      </label>
    </div>
  );
}
