import type { JsonNode, JsonTree } from "./json_nodes.ts";

/** What is different between two JSON texts. */
export interface JsonChanges {
  /** Values of the later text that the earlier one lacks, by index. */
  readonly added: ReadonlySet<number>;
  /** Values that are different. */
  readonly changed: ReadonlySet<number>;
  /** Values with a difference inside. */
  readonly holding: ReadonlySet<number>;
  /** What the later text lacks: where it was, and its text. */
  readonly removed: readonly { readonly path: string; readonly text: string }[];
}

const MOST_REMOVED = 50;

export function changesBetween(before: JsonTree, after: JsonTree): JsonChanges {
  const added = new Set<number>();
  const changed = new Set<number>();
  const holding = new Set<number>();
  const removed: { path: string; text: string }[] = [];
  const hold = (index: number): void => {
    for (let it = after.nodes[index]!.parent; it !== -1 && !holding.has(it);) {
      holding.add(it);
      it = after.nodes[it]!.parent;
    }
  };
  const pairs: [number, number][] = before.nodes.length > 0 && after.nodes.length > 0
    ? [[0, 0]]
    : [];
  for (let pair = pairs.pop(); pair !== undefined; pair = pairs.pop()) {
    const [old, now] = [before.nodes[pair[0]]!, after.nodes[pair[1]]!];
    if (textOf(before, old) === textOf(after, now)) continue;
    if (old.kind !== now.kind || (now.kind !== "object" && now.kind !== "array")) {
      changed.add(pair[1]);
      hold(pair[1]);
      continue;
    }
    const left = childrenOf(before, pair[0]);
    for (const [key, index] of childrenOf(after, pair[1])) {
      const same = left.get(key);
      left.delete(key);
      if (same !== undefined) {
        pairs.push([same, index]);
        continue;
      }
      added.add(index);
      hold(index);
    }
    for (const index of left.values()) {
      holding.add(pair[1]);
      hold(pair[1]);
      if (removed.length < MOST_REMOVED) {
        removed.push({ path: pathOf(before, index), text: textOf(before, before.nodes[index]!) });
      }
    }
  }
  return { added, changed, holding, removed };
}

/** Where a value is: `account.lines[2]`. Of a deep one, the last part. */
export function pathOf({ text, nodes }: JsonTree, index: number): string {
  const steps: string[] = [];
  for (let it = index; nodes[it]!.parent !== -1 && steps.length < 32; it = nodes[it]!.parent) {
    const { key, parent } = nodes[it]!;
    if (key === undefined) {
      let place = 0;
      for (let child = parent + 1; child !== it; child = nodes[child]!.after) place++;
      steps.push(`[${place}]`);
    } else {
      const name = text.slice(key[0] + 1, key[1] - 1);
      steps.push(/^[\w$]+$/.test(name) ? `.${name}` : `["${name}"]`);
    }
  }
  return steps.reverse().join("").replace(/^\./, "");
}

function childrenOf({ text, nodes }: JsonTree, parent: number): Map<string, number> {
  const children = new Map<string, number>();
  let place = 0;
  for (let index = parent + 1; index < nodes[parent]!.after; index = nodes[index]!.after) {
    const { key } = nodes[index]!;
    children.set(key === undefined ? String(place++) : text.slice(...key), index);
  }
  return children;
}

function textOf({ text }: JsonTree, { start, end }: JsonNode): string {
  return text.slice(start, end);
}
