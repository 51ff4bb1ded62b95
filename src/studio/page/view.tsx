import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { currentPlace } from "./lib/place.ts";
import { databaseText, useOpened } from "./lib/rights.ts";
import { useValue } from "./lib/store.ts";
import { Empty } from "./parts/states.tsx";
import { CategoriesView } from "./views/categories.tsx";
import { CategoryView } from "./views/category.tsx";
import { ConsumerView } from "./views/consumer.tsx";
import { ConsumersView } from "./views/consumers.tsx";
import { EntityView } from "./views/entity.tsx";
import { MessageAlone } from "./views/message.tsx";
import { MessagesView } from "./views/messages.tsx";
import { OverviewView } from "./views/overview.tsx";
import { TraceView } from "./views/trace.tsx";

/** The view of the URL. */
export function View(): JSX.Element {
  const { path } = useValue(currentPlace);
  const [kind, ...rest] = path ?? ["?"];
  const name = rest.join("/");
  const database = databaseText(useOpened());
  useEffect(() => {
    const parts = [name, kind ?? "overview", database, "Studio"];
    document.title = parts.filter((it) => it !== "").join(" · ");
  }, [kind, name, database]);
  if (kind === undefined) return <OverviewView />;
  if (kind === "all" && name === "") return <MessagesView source="$all" />;
  if (kind === "categories") {
    return name === "" ? <CategoriesView /> : <CategoryView category={name} />;
  }
  if (kind === "consumers") return name === "" ? <ConsumersView /> : <ConsumerView name={name} />;
  if (name !== "" && kind === "streams") return <MessagesView source={name} />;
  if (name !== "" && kind === "messages") return <MessageAlone id={name} />;
  if (name !== "" && kind === "trace") return <TraceView start={name} />;
  if (name !== "" && kind === "entities") return <EntityView streamName={name} />;
  return (
    <Empty>
      There is no such page. Begin at the overview, or search with <kbd>/</kbd>.
    </Empty>
  );
}
