import type { JsonNode, JsonTree } from "./json_nodes.ts";

/** A line of a JSON text as the page shows it. */
export interface JsonLine {
  /** The index of the value. */
  readonly node: number;
  /** The whole value, folded if it holds others; or the beginning or the end of one that is unfolded. */
  readonly part: "whole" | "begin" | "end";
}

/** Above this, unfolding one more level does not fit on a screen. */
const MOST_OPEN = 100;
const DEEPEST_OPEN = 3;

/** Whether a value is unfolded if nobody has said otherwise. */
export function isOpenAtFirst({ depth, size }: JsonNode): boolean {
  return depth === 0 || (depth < DEEPEST_OPEN && size <= MOST_OPEN);
}

/** The lines of a JSON text, of what is unfolded. */
export function jsonLines(
  { nodes }: JsonTree,
  isOpen: (node: JsonNode, index: number) => boolean,
): JsonLine[] {
  const lines: JsonLine[] = [];
  const open: number[] = [];
  const closeBefore = (index: number): void => {
    while (open.length > 0 && nodes[open.at(-1)!]!.after <= index) {
      lines.push({ node: open.pop()!, part: "end" });
    }
  };
  for (let index = 0; index < nodes.length;) {
    closeBefore(index);
    const node = nodes[index]!;
    const isUnfolded = node.size > 0 && isOpen(node, index);
    lines.push({ node: index, part: isUnfolded ? "begin" : "whole" });
    if (isUnfolded) open.push(index);
    index = isUnfolded ? index + 1 : node.after;
  }
  closeBefore(nodes.length);
  return lines;
}
