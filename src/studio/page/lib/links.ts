import { typedPosition } from "./typed.ts";
import type { ListedMessage } from "../../_api.ts";
import { plainString, readJsonText } from "./json_nodes.ts";
import { viewUrl } from "./place.ts";

/** The category of a stream. */
export function categoryIn(streamName: string): string {
  const at = streamName.indexOf("-");
  return at === -1 ? streamName : streamName.slice(0, at);
}

export function streamUrl(streamName: string, position?: number): string {
  return streamName.includes("-")
    ? viewUrl(["streams", streamName], position === undefined ? {} : { position })
    : viewUrl(["categories", streamName]);
}

export function messageUrl(id: string): string {
  return viewUrl(["messages", id]);
}

/** A place that metadata name. */
export interface MetadataLink {
  readonly name: string;
  readonly text: string;
  readonly url: string;
}

/** Where the metadata of a message point: Eventide's keys. */
export function linksIn(
  { metadata, kind }: Pick<ListedMessage, "metadata" | "kind">,
): MetadataLink[] {
  const texts = metadata === null ? new Map<string, string>() : textsIn(metadata);
  const links: MetadataLink[] = [];
  const cause = texts.get("causationMessageStreamName");
  const causePosition = texts.get("causationMessagePosition");
  if (cause) {
    const position = typedPosition(causePosition);
    const text = position === undefined ? cause : `${cause} ${position}`;
    const name = kind === "reference" ? "Refers to" : "Caused by";
    links.push({ name, text, url: streamUrl(cause, position) });
  }
  const others = [["Correlation", "correlationStreamName"], ["Reply to", "replyStreamName"]];
  for (const [name, key] of others) {
    const text = texts.get(key!);
    if (text) links.push({ name: name!, text, url: streamUrl(text) });
  }
  return links;
}

/**
 * The messages of a correlation: of all, or of a category in a store of partitions, which has no order of all.
 *
 * @param category The category; undefined for all.
 */
export function correlatedUrl(correlation: string, category: string | undefined): string {
  return category === undefined
    ? viewUrl(["all"], { correlation })
    : viewUrl(["categories", category], { tab: "messages", correlation });
}

/** The texts and numbers that the metadata have themselves, by their keys. */
function textsIn(metadata: string): Map<string, string> {
  const { text, nodes } = readJsonText(metadata);
  const texts = new Map<string, string>();
  for (const { key, depth, kind, start, end } of nodes) {
    if (key === undefined || depth !== 1) continue;
    const value = text.slice(start, end);
    if (kind === "string") texts.set(plainString(text.slice(...key)), plainString(value));
    if (kind === "number") texts.set(plainString(text.slice(...key)), value);
  }
  return texts;
}
