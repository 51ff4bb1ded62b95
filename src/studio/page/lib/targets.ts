import { isMessageId } from "./typed.ts";
import { viewUrl } from "./place.ts";
import type { CategoryOf } from "./status.ts";

/** Where a search may go. */
export interface SearchTarget {
  readonly kind: string;
  readonly text: string;
  readonly url: string;
}

const MOST_CATEGORIES = 6;

/** What a text that one types may be, the likeliest first. Over partitions, there are no global positions. */
export function targetsOf(
  typed: string,
  categories: readonly CategoryOf[],
  hasPartitions: boolean,
): SearchTarget[] {
  const text = typed.trim();
  if (text === "") return [];
  const targets: SearchTarget[] = [];
  const add = (kind: string, url: string, name = text) => targets.push({ kind, text: name, url });
  if (isMessageId(text)) add("Message", viewUrl(["messages", text.toLowerCase()]));
  const position = /^[#@]?([\d,]+)$/.exec(text)?.[1]?.replaceAll(",", "");
  if (position !== undefined && position.length < 16 && !hasPartitions) {
    add("Global position", viewUrl(["all"], { position }));
  }
  if (text.includes("-") && !text.startsWith("-")) add("Stream", viewUrl(["streams", text]));
  const lower = text.toLowerCase();
  const found = categories
    .filter(({ category }) => category.toLowerCase().includes(lower))
    .sort((a, b) => rank(a.category, lower) - rank(b.category, lower))
    .slice(0, MOST_CATEGORIES);
  for (const { category } of found) add("Category", viewUrl(["categories", category]), category);
  add(hasPartitions ? "Text in a category" : "Text in all messages", viewUrl(["all"], { text }));
  return targets;
}

function rank(category: string, text: string): number {
  const name = category.toLowerCase();
  return name === text ? 0 : name.startsWith(text) ? 1 : 2;
}
