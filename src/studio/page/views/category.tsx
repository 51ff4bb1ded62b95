import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { CallAnswer, CallArguments, CallFailure } from "../lib/call.ts";
import { asFailure, call } from "../lib/call.ts";
import { numberText } from "../lib/format.ts";
import { streamUrl } from "../lib/links.ts";
import { markedText } from "../lib/marks.ts";
import { currentPlace, go, goWith, viewUrl } from "../lib/place.ts";
import { useValue } from "../lib/store.ts";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { ViewLink } from "../parts/link.tsx";
import { StreamLink } from "../parts/message_cells.tsx";
import { MessageTable } from "../parts/message_table.tsx";
import { type RowColumn, RowTable } from "../parts/rows.tsx";
import { Empty, Failed, Loading } from "../parts/states.tsx";
import { Ago, When } from "../parts/when.tsx";
import { TypesOfCategory } from "./types_of_category.tsx";

type StreamOf = CallAnswer<"streams">["streams"][number];
type Sort = "last" | "count" | "name";

const TABS = [["", "Streams"], ["messages", "Messages"], ["types", "Types"]] as const;

/** A category: its streams, its messages, or their types. */
export function CategoryView({ category }: { readonly category: string }): JSX.Element {
  const { query } = useValue(currentPlace);
  const tab = query.get("tab") ?? "";
  return (
    <div class="page full">
      <ViewHead
        title={
          <span class="mono">
            <Foreign text={category} most={120} />
          </span>
        }
        trail={[{ url: viewUrl(["categories"]), text: "Categories" }]}
      >
        <nav class="tabs" aria-label="Parts of the category">
          {TABS.map(([value, name]) => (
            <ViewLink
              key={name}
              url={viewUrl(["categories", category], { tab: value })}
              isCurrent={value === tab}
            >
              {name}
            </ViewLink>
          ))}
        </nav>
      </ViewHead>
      {tab === "messages"
        ? <MessageTable source={category} label={`Messages of ${markedText(category)}`} />
        : tab === "types"
        ? <TypesOfCategory category={category} />
        : <Streams key={sortOf(query)} category={category} sort={sortOf(query)} />}
    </div>
  );
}

function sortOf(query: URLSearchParams): Sort {
  const sort = query.get("sort");
  return sort === "count" || sort === "name" ? sort : "last";
}

const COLUMNS: readonly RowColumn<StreamOf>[] = [
  {
    name: "Stream",
    width: "minmax(160px, 1fr)",
    phone: "first",
    cell: ({ streamName }) => <StreamLink name={streamName} />,
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
  {
    name: "Last position",
    width: "130px",
    isNumber: true,
    cell: ({ lastGlobalPosition }) => numberText(lastGlobalPosition),
  },
];

function Streams(
  { category, sort }: { readonly category: string; readonly sort: Sort },
): JSX.Element {
  const { rows, next, isComplete, more, isStopped, isLoading, failure } = useStreams(
    category,
    sort,
  );
  return (
    <>
      <div class="filters" role="group" aria-label="Order">
        <select
          aria-label="Order"
          value={sort}
          onChange={({ currentTarget }) => goWith({ sort: currentTarget.value })}
        >
          <option value="last">Latest first</option>
          <option value="count">Longest first</option>
          <option value="name">By name</option>
        </select>
      </div>
      <RowTable
        label={`Streams of ${markedText(category)}`}
        columns={COLUMNS}
        rows={rows}
        keyOf={({ streamName }) => streamName}
        open={({ streamName }) => go(streamUrl(streamName))}
        {...!isStopped && { onBottom: more }}
        foot={failure
          ? <Failed failure={failure} retry={more} />
          : isLoading
          ? <Loading />
          : isStopped
          ? (
            <div class="state">
              <button type="button" onClick={more}>Look further back</button>
            </div>
          )
          : next
          ? false
          : rows.length === 0
          ? <Empty>This category has no streams.</Empty>
          : (
            <div class="state faint">
              {isComplete
                ? "The end"
                : "There are too many streams to compare all: some long ones may be missing"}
            </div>
          )}
      />
    </>
  );
}

interface StreamPages {
  readonly rows: readonly StreamOf[];
  readonly next: CallArguments<"streams">["after"] | undefined;
  readonly isComplete: boolean;
  /** Whether the server stopped before the page was full. */
  readonly isStopped: boolean;
  readonly isLoading: boolean;
  readonly failure: CallFailure | undefined;
}

const LIMIT = 100;

function useStreams(category: string, sort: Sort): StreamPages & { readonly more: () => void } {
  const [state, setState] = useState<StreamPages>(NO_PAGE);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    const read = async () => {
      const rows = turn === 0 ? [] : state.rows;
      const after = turn === 0 ? undefined : state.next;
      setState((it) => ({ ...it, isLoading: true, failure: undefined }));
      try {
        const args = { category, sort, limit: LIMIT, ...(after && { after }) };
        const page = await call("streams", args, { signal: controller.signal });
        const known = new Set(rows.map(({ streamName }) => streamName));
        const fresh = page.streams.filter(({ streamName }) => !known.has(streamName));
        setState({
          rows: [...rows, ...fresh],
          next: page.next ?? undefined,
          isComplete: page.isComplete,
          isStopped: page.next !== null && page.streams.length < LIMIT,
          isLoading: false,
          failure: undefined,
        });
      } catch (error) {
        if (controller.signal.aborted) return;
        setState((it) => ({ ...it, isLoading: false, failure: asFailure(error) }));
      }
    };
    void read();
    return () => controller.abort();
  }, [category, sort, turn]);
  const more = () => {
    if (state.next && !state.isLoading) setTurn((it) => it + 1);
  };
  return { ...state, more };
}

const NO_PAGE: StreamPages = {
  rows: [],
  next: undefined,
  isComplete: true,
  isStopped: false,
  isLoading: true,
  failure: undefined,
};
