import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { MessageKind } from "../../_api.ts";
import { isStream } from "../lib/feed.ts";
import { isOfLibrary } from "../lib/kinds.ts";
import { categoryIn, correlatedUrl } from "../lib/links.ts";
import { markedText } from "../lib/marks.ts";
import { currentPlace, viewUrl } from "../lib/place.ts";
import { useMay, useOpened } from "../lib/rights.ts";
import { askForCategories, byLast, isOwnCategory, knownCategories } from "../lib/status.ts";
import { useValue } from "../lib/store.ts";
import { Foreign } from "../parts/foreign.tsx";
import { ViewHead } from "../parts/head.tsx";
import { ViewLink } from "../parts/link.tsx";
import { MessageTable } from "../parts/message_table.tsx";
import { WriteButton } from "../parts/write_dialog.tsx";

/** The categories, with what is looked for: partitions have no messages in one order. */
function ByCategory(): JSX.Element {
  useEffect(() => void askForCategories(), []);
  const { query } = useValue(currentPlace);
  const text = query.get("text") ?? "";
  const categories = [...useValue(knownCategories)].sort(byLast)
    .map(({ category }) => category)
    .filter((it, at, all) => !isOwnCategory(it) && all.indexOf(it) === at);
  return (
    <div class="state">
      <p class="sentence">
        Each partition has an order of its own. {text === "" ? "Choose a category:" : (
          <>
            Look for <Foreign text={text} most={100} /> in a category:
          </>
        )}
      </p>
      <ul class="choices">
        {categories.map((category) => (
          <li key={category}>
            <ViewLink url={viewUrl(["categories", category], { tab: "messages", text })}>
              <Foreign text={category} most={100} />
            </ViewLink>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** The messages of a stream, or all. */
export function MessagesView({ source }: { readonly source: string }): JSX.Element {
  const studio = useOpened();
  const may = useMay();
  const [learned, learn] = useState<
    { readonly source: string; readonly kind: MessageKind | null }
  >();
  if (!isStream(source)) {
    return (
      <div class="page full">
        <ViewHead title="All messages" />
        {studio !== undefined && studio.partitions > 1
          ? <ByCategory />
          : <MessageTable source={source} label="All messages" />}
      </div>
    );
  }
  const category = categoryIn(source);
  const isKnown = learned?.source === source;
  const isOfEntity = isKnown && (learned.kind === null || !isOfLibrary(learned.kind));
  const hasEntity = studio?.entities.includes(category) === true;
  const trail = [
    { url: viewUrl(["categories"]), text: "Categories" },
    { url: viewUrl(["categories", category]), text: <Foreign text={category} most={60} /> },
  ];
  return (
    <div class="page full">
      <ViewHead
        title={
          <span class="mono">
            <Foreign text={source} most={120} />
          </span>
        }
        trail={trail}
      >
        {(isOfEntity || hasEntity) && (
          <ViewLink url={viewUrl(["entities", source])} class="button">Entity in time</ViewLink>
        )}
        {isKnown && learned.kind !== null && (
          <ViewLink url={viewUrl(["trace", "streams", source])} class="button">
            Cause and effect
          </ViewLink>
        )}
        {isOfEntity && studio?.partitions === 1 && (
          <ViewLink url={correlatedUrl(source, undefined)} class="button">Correlated</ViewLink>
        )}
        {isOfEntity && may("write") && <WriteButton streamName={source} />}
      </ViewHead>
      <MessageTable
        source={source}
        label={`Messages of ${markedText(source)}`}
        learnKind={(kind) => learn({ source, kind })}
      />
    </div>
  );
}
