import type { JSX } from "preact";
import type { ListedMessage } from "../../_api.ts";
import { numberText, zoneText } from "../lib/format.ts";
import { isStream } from "../lib/feed.ts";
import { linksIn, messageUrl, streamUrl } from "../lib/links.ts";
import type { TableMessage } from "../lib/referred.ts";
import { Foreign } from "./foreign.tsx";
import { ViewLink } from "./link.tsx";
import type { RowColumn } from "./rows.tsx";
import { When } from "./when.tsx";

export function StreamLink(
  { name, position }: { readonly name: string; readonly position?: number },
): JSX.Element {
  return (
    <ViewLink url={streamUrl(name, position)} class="mono">
      <Foreign text={name} most={120} />
    </ViewLink>
  );
}

/** The type of a message, and what it is if it is not an ordinary one. */
export function TypeName({ message }: { readonly message: ListedMessage }): JSX.Element {
  return (
    <>
      <span class="type">
        <Foreign text={message.type} most={120} />
      </span>
      {message.kind !== "message" && <span class="kind">{message.kind}</span>}
    </>
  );
}

/** The data of a message. Of a reference, a link to the message that it refers to, and the data of that. */
function DataOf({ message }: { readonly message: TableMessage }): JSX.Element {
  const { kind, referred, data } = message;
  const link = kind === "reference" ? linksIn(message)[0] : undefined;
  const text = referred === undefined ? data : referred.data;
  return (
    <span class="mono faint">
      {link && (
        <ViewLink url={referred === undefined ? link.url : messageUrl(referred.id)}>
          <Foreign text={link.text} most={120} />
        </ViewLink>
      )}
      {link && text !== null && " "}
      {text !== null && <Foreign text={text} />}
    </span>
  );
}

/** The columns of a table of messages. */
export function columnsOfMessages(source: string): RowColumn<TableMessage>[] {
  const ofStream = isStream(source);
  const position: RowColumn<TableMessage> = {
    name: "Position",
    width: "84px",
    isNumber: true,
    phone: "none",
    cell: (it) => numberText(ofStream ? it.position : it.globalPosition),
  };
  const stream: RowColumn<TableMessage> = {
    name: "Stream",
    width: "minmax(120px, 1.2fr)",
    phone: "second",
    cell: (it) => <StreamLink name={it.streamName} position={it.position} />,
  };
  return [
    position,
    {
      name: `Time (${zoneText()})`,
      width: "176px",
      phone: "first",
      cell: (it) => <When time={it.time} />,
    },
    ...(ofStream ? [] : [stream]),
    {
      name: "Type",
      width: "minmax(110px, 1fr)",
      phone: "first",
      cell: (it) => <TypeName message={it} />,
    },
    {
      name: "Data",
      width: "minmax(160px, 2.4fr)",
      phone: ofStream ? "second" : "none",
      cell: (it) => <DataOf message={it} />,
    },
  ];
}
