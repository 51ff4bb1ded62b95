import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { currentPlace } from "./lib/place.ts";
import { markedText } from "./lib/marks.ts";
import { databaseText, useOpened } from "./lib/rights.ts";
import { useValue } from "./lib/store.ts";
import { later } from "./parts/later.tsx";
import { OverviewView } from "./views/overview.tsx";

/** The view of the URL. */
export function View(): JSX.Element {
  const { path } = useValue(currentPlace);
  const [kind, ...rest] = path ?? ["?"];
  const name = rest.length === 0 ? undefined : rest.join("/");
  const database = databaseText(useOpened());
  useEffect(() => {
    const parts = [name, kind ?? "overview", database || undefined, "Studio"];
    document.title = parts.flatMap((it) => it === undefined ? [] : markedText(it)).join(" · ");
  }, [kind, name, database]);
  return kind === undefined ? <OverviewView /> : <OtherView kind={kind} name={name} />;
}

// The first page is small without them.
const OtherView = later(async () => (await import("./other_view.tsx")).OtherView);
