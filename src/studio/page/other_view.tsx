import type { JSX } from "preact";
import type { TraceArguments } from "../_api.ts";
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
    /** What is behind that; undefined for nothing. */
    readonly name: string | undefined;
  },
): JSX.Element {
  if (kind === "all" && name === undefined) return <MessagesView source="$all" />;
  if (kind === "categories") {
    return name === undefined ? <CategoriesView /> : <CategoryView category={name} />;
  }
  if (kind === "consumers") {
    return name === undefined ? <ConsumersView /> : <ConsumerView name={name} />;
  }
  if (name !== undefined && kind === "streams") return <MessagesView source={name} />;
  if (name !== undefined && kind === "messages") return <MessageAlone id={name} />;
  if (name !== undefined && kind === "trace") return <TraceView start={traceStart(name)} />;
  if (name !== undefined && kind === "entities") return <EntityView streamName={name} />;
  return (
    <div class="page">
      <ViewHead title="Not found" />
      <Empty>
        There is no such page. Begin at the overview, or search with <kbd>/</kbd>.
      </Empty>
    </div>
  );
}

/** The name of a stream may be a UUID, as the id of a message is: the URL says which of both is traced. */
function traceStart(name: string): TraceArguments {
  const [, streamName] = /^streams\/(.*)$/s.exec(name) ?? [];
  return streamName === undefined ? { id: name } : { streamName };
}
