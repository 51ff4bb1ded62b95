import type { JSX } from "preact";
import { isFailure } from "../lib/call.ts";
import { isStream } from "../lib/feed.ts";
import { categoryIn } from "../lib/links.ts";
import { viewUrl } from "../lib/place.ts";
import { opened } from "../lib/pulse.ts";
import { useValue } from "../lib/store.ts";
import { Foreign } from "../parts/foreign.tsx";
import { Empty } from "../parts/states.tsx";
import { ViewHead } from "../parts/head.tsx";
import { ViewLink } from "../parts/link.tsx";
import { MessageTable } from "../parts/message_table.tsx";
import { WriteButton } from "../parts/write_dialog.tsx";

/** The messages of a stream, or all. */
export function MessagesView({ source }: { readonly source: string }): JSX.Element {
  const studio = useValue(opened);
  const mayWrite = studio !== undefined && !isFailure(studio) && studio.may.includes("write");
  if (!isStream(source)) {
    return (
      <div class="page full">
        <ViewHead title="All messages" />
        {studio !== undefined && !isFailure(studio) && studio.partitions > 1
          ? (
            <Empty>
              Each partition has an order of its own: choose{" "}
              <ViewLink url={viewUrl(["categories"])}>a category</ViewLink>.
            </Empty>
          )
          : <MessageTable source={source} label="All messages" />}
      </div>
    );
  }
  const category = categoryIn(source);
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
        <ViewLink url={viewUrl(["entities", source])} class="button">Entity in time</ViewLink>
        {mayWrite && <WriteButton streamName={source} />}
      </ViewHead>
      <MessageTable source={source} label={`Messages of ${source}`} />
    </div>
  );
}
