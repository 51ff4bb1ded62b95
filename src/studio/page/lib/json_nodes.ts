/** A value in a JSON text. The text itself is shown: numbers, keys that come twice and their order are as they are. */
export interface JsonNode {
  readonly kind: "object" | "array" | "string" | "number" | "literal";
  /** Where the key is in the text, with its quotes; undefined for none. */
  readonly key: readonly [number, number] | undefined;
  readonly start: number;
  end: number;
  /** The index of the value that holds it; -1 for none. */
  readonly parent: number;
  readonly depth: number;
  /** How many values it holds itself. */
  size: number;
  /** The index of the next value that is not inside of it. */
  after: number;
  /** Whether the text ends before the value does. */
  isCut: boolean;
}

/** All values of a JSON text, each before those that it holds. */
export interface JsonTree {
  readonly text: string;
  readonly nodes: readonly JsonNode[];
  /** Whether all of the text was read: it is JSON. */
  readonly isWhole: boolean;
}

const SPACE = /[ \t\n\r]*/y;
const STRING = /"(?:[^"\\]|\\[^])*("?)/y;
const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const LITERAL = /true|false|null/y;

/** Reads a JSON text without recursion. What is cut off or wrong ends it: what came before stays. */
export function parseJson(text: string): JsonTree {
  const nodes: JsonNode[] = [];
  const open: number[] = [];
  let at = 0;
  const match = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text) ?? undefined;
    if (found) at += found[0].length;
    return found;
  };
  const next = (): string | undefined => {
    match(SPACE);
    return text[at];
  };

  const readKey = (): readonly [number, number] | undefined => {
    if (next() !== '"') return undefined;
    const start = at;
    match(STRING);
    const end = at;
    if (next() !== ":") return undefined;
    at++;
    return [start, end];
  };

  const add = (kind: JsonNode["kind"], start: number, key: JsonNode["key"]): JsonNode => {
    const parent = open.at(-1) ?? -1;
    if (parent !== -1) nodes[parent]!.size++;
    const after = nodes.length + 1;
    const depth = open.length;
    const node = { kind, key, start, end: at, parent, depth, size: 0, after, isCut: false };
    nodes.push(node);
    return node;
  };

  /** Reads a value, or the beginning of one that holds others. */
  const readValue = (key: JsonNode["key"]): boolean => {
    const first = next();
    const start = at;
    if (first === "{" || first === "[") {
      at++;
      add(first === "{" ? "object" : "array", start, key);
      open.push(nodes.length - 1);
      return true;
    }
    if (first === '"') {
      const isClosed = match(STRING)![1] === '"';
      add("string", start, key).isCut = !isClosed;
      return isClosed;
    }
    const kind = match(NUMBER) ? "number" : match(LITERAL) ? "literal" : undefined;
    if (kind) add(kind, start, key);
    return kind !== undefined;
  };

  const close = (isCut: boolean): void => {
    const node = nodes[open.pop()!]!;
    Object.assign(node, { end: at, after: nodes.length, isCut });
  };

  /** Goes on in the innermost value that is open: an entry, or its end. */
  const step = (): boolean => {
    const parent = nodes[open.at(-1)!]!;
    const isObject = parent.kind === "object";
    const found = next();
    if (found === (isObject ? "}" : "]")) {
      at++;
      close(false);
      return true;
    }
    if (parent.size > 0) {
      if (found !== ",") return false;
      at++;
    }
    const key = isObject ? readKey() : undefined;
    return (!isObject || key !== undefined) && readValue(key);
  };

  let isFine = readValue(undefined);
  while (isFine && open.length > 0) isFine = step();
  const isWhole = isFine && next() === undefined;
  while (open.length > 0) close(true);
  return { text, nodes, isWhole };
}

/** The text of a JSON string without its escapes; of a string that is cut, as far as it goes. */
export function plainString(text: string): string {
  try {
    return JSON.parse(text);
  } catch {
    const body = text.slice(1).replace(/\\(u[0-9a-fA-F]{0,3})?$/, "");
    try {
      return JSON.parse(`"${body}"`);
    } catch {
      return body;
    }
  }
}
