import type { JSX } from "preact";
import { viewUrl } from "../lib/place.ts";
import { ViewHead } from "../parts/head.tsx";
import { MessageView } from "../parts/message_view.tsx";

export function MessageAlone({ id }: { readonly id: string }): JSX.Element {
  return (
    <div class="page narrow">
      <ViewHead title="Message" trail={[{ url: viewUrl(["all"]), text: "All messages" }]} />
      <MessageView id={id} />
    </div>
  );
}
