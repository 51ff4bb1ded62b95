import type { JSX } from "preact";
import { ViewHead } from "./parts/head.tsx";
import { Empty } from "./parts/states.tsx";
import { CategoriesView } from "./views/categories.tsx";
import { CategoryView } from "./views/category.tsx";
import { ConsumerView } from "./views/consumer.tsx";
import { ConsumersView } from "./views/consumers.tsx";
import { EntityView } from "./views/entity.tsx";
import { MessageAlone } from "./views/message.tsx";
import { MessagesView } from "./views/messages.tsx";
import { TraceView } from "./views/trace.tsx";

/** Every view but the overview. */
export function OtherView(
  { kind, name }: {
    /** What the path begins with. */
    readonly kind: string;
    /** What is behind that. */
    readonly name: string;
  },
): JSX.Element {
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
    <div class="page">
      <ViewHead title="Not found" />
      <Empty>
        There is no such page. Begin at the overview, or search with <kbd>/</kbd>.
      </Empty>
    </div>
  );
}
