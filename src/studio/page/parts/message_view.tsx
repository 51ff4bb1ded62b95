import type { ComponentChildren, JSX } from "preact";
import type { ListedMessage, WholeMessage } from "../../_api.ts";
import { copyText } from "../lib/announce.ts";
import { isStream } from "../lib/feed.ts";
import { numberText, sizeText } from "../lib/format.ts";
import { isOfLibrary } from "../lib/kinds.ts";
import { categoryIn, correlatedUrl, linksIn, messageUrl, streamUrl } from "../lib/links.ts";
import { BASE, viewUrl } from "../lib/place.ts";
import { useOpened } from "../lib/rights.ts";
import { useCall } from "../lib/use_call.ts";
import { Foreign, ForeignCode } from "./foreign.tsx";
import { JsonView } from "./json_view.tsx";
import { ViewLink } from "./link.tsx";
import { StreamLink, TypeName } from "./message_cells.tsx";
import { CallOutcome, Empty } from "./states.tsx";
import { Ago, When } from "./when.tsx";

/** One message, read anew and whole. */
export function MessageView(
  { id, isTraced = false }: {
    readonly id: string;
    /** Whether its cause and effect are shown beside it. */
    readonly isTraced?: boolean;
  },
): JSX.Element {
  const called = useCall("readMessage", { id });
  return (
    <CallOutcome of={called}>
      {(message: WholeMessage | null) =>
        message === null
          ? (
            <Empty>
              No message has the id <ForeignCode text={id} />. It may have been deleted.
            </Empty>
          )
          : <Whole message={message} isTraced={isTraced} />}
    </CallOutcome>
  );
}

function Whole(
  { message, isTraced }: { readonly message: WholeMessage; readonly isTraced: boolean },
): JSX.Element {
  return (
    <article class="message">
      <h2 class="mono">
        <TypeName message={message} />
      </h2>
      <Facts message={message} />
      <div class="actions start">
        {!isTraced && (
          <ViewLink url={viewUrl(["trace", message.id])} class="button">Cause and effect</ViewLink>
        )}
        {isStream(message.streamName) && !isOfLibrary(message.kind) && (
          <ViewLink
            url={viewUrl(["entities", message.streamName], { position: message.position })}
            class="button"
          >
            State after it
          </ViewLink>
        )}
        <button
          type="button"
          onClick={() => copyText(location.origin + messageUrl(message.id), "the link")}
        >
          Copy link
        </button>
        {message.isCut && (
          <a
            class="button"
            href={`${BASE}/api/messages/${encodeURIComponent(message.id)}`}
            download={`${message.id}.json`}
          >
            Download all {sizeText(message.size)}
          </a>
        )}
      </div>
      <Body label="Data" text={message.data} isCut={message.isCut} />
      <Body label="Metadata" text={message.metadata} isCut={message.isCut} />
    </article>
  );
}

function Body(
  { label, text, isCut }: {
    readonly label: string;
    readonly text: string | null;
    readonly isCut: boolean;
  },
): JSX.Element {
  if (text !== null) return <JsonView text={text} isCut={isCut} label={label} />;
  return (
    <section class="json">
      <div class="json-bar">
        <h3>{label}</h3>
        <span class="faint">none</span>
      </div>
    </section>
  );
}

function Facts({ message }: { readonly message: ListedMessage }): JSX.Element {
  const { id, streamName, position, globalPosition, time, size } = message;
  const category = categoryIn(streamName);
  const hasOrderOfAll = useOpened()?.partitions === 1;
  return (
    <dl class="facts">
      <Fact name="Stream">
        <StreamLink name={streamName} />
      </Fact>
      <Fact name="Position">
        <ViewLink url={streamUrl(streamName, position)} class="tabular">
          {numberText(position)}
        </ViewLink>
      </Fact>
      <Fact name="Global position">
        <ViewLink url={viewUrl(["all"], { position: globalPosition })} class="tabular">
          {numberText(globalPosition)}
        </ViewLink>
      </Fact>
      <Fact name="Category">
        <ViewLink url={viewUrl(["categories", category])} class="mono">
          <Foreign text={category} />
        </ViewLink>
      </Fact>
      <Fact name="Time">
        <When time={time} />{" "}
        <span class="faint">
          <Ago time={time} />
        </span>
      </Fact>
      {linksIn(message).map(({ name, text, url }) => (
        <Fact key={name} name={name}>
          <ViewLink url={url} class="mono">
            <Foreign text={text} />
          </ViewLink>
          {name === "Correlation" && (
            <>
              {" "}
              <ViewLink url={correlatedUrl(text, hasOrderOfAll ? undefined : category)}>
                its messages
              </ViewLink>
            </>
          )}
        </Fact>
      ))}
      <Fact name="Id">
        <span class="mono">{id}</span>{" "}
        <button type="button" class="quiet" onClick={() => copyText(id, "the id")}>Copy</button>
      </Fact>
      <Fact name="Size">
        <span class="tabular">{sizeText(size)}</span>
      </Fact>
    </dl>
  );
}

/** A name and what it stands for, in a list of such. */
export function Fact(
  { name, children }: { readonly name: string; readonly children: ComponentChildren },
): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
