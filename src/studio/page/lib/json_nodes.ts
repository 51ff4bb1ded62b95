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

/** How far a text is read. */
interface Reading {
  readonly text: string;
  readonly nodes: JsonNode[];
  /** The values that are not at their ends, by index, the innermost last. */
  readonly open: number[];
  at: number;
}

/** Reads a JSON text without recursion. What is cut off or wrong ends it: what came before stays. */
export function readJsonText(text: string): JsonTree {
  const reading: Reading = { text, nodes: [], open: [], at: 0 };
  let isFine = readValue(reading, undefined);
  while (isFine && reading.open.length > 0) isFine = readOn(reading);
  const isWhole = isFine && nextOf(reading) === undefined;
  while (reading.open.length > 0) closeNode(reading, true);
  return { text, nodes: reading.nodes, isWhole };
}

/** Reads a value, or the beginning of one that holds others. */
function readValue(reading: Reading, key: JsonNode["key"]): boolean {
  const first = nextOf(reading);
  const start = reading.at;
  if (first === "{" || first === "[") {
    reading.at++;
    addNode(reading, first === "{" ? "object" : "array", start, key);
    reading.open.push(reading.nodes.length - 1);
    return true;
  }
  if (first === '"') {
    const isClosed = match(reading, STRING)![1] === '"';
    addNode(reading, "string", start, key).isCut = !isClosed;
    return isClosed;
  }
  const kind = match(reading, NUMBER) ? "number" : match(reading, LITERAL) ? "literal" : undefined;
  if (kind) addNode(reading, kind, start, key);
  return kind !== undefined;
}

/** Reads on in the innermost value that is open: an entry, or its end. */
function readOn(reading: Reading): boolean {
  const parent = reading.nodes[reading.open.at(-1)!]!;
  const isObject = parent.kind === "object";
  const found = nextOf(reading);
  if (found === (isObject ? "}" : "]")) {
    reading.at++;
    closeNode(reading, false);
    return true;
  }
  if (parent.size > 0) {
    if (found !== ",") return false;
    reading.at++;
  }
  const key = isObject ? readKey(reading) : undefined;
  return (!isObject || key !== undefined) && readValue(reading, key);
}

function readKey(reading: Reading): JsonNode["key"] {
  if (nextOf(reading) !== '"') return undefined;
  const start = reading.at;
  match(reading, STRING);
  const end = reading.at;
  if (nextOf(reading) !== ":") return undefined;
  reading.at++;
  return [start, end];
}

function addNode(
  { nodes, open, at }: Reading,
  kind: JsonNode["kind"],
  start: number,
  key: JsonNode["key"],
): JsonNode {
  const parent = open.at(-1) ?? -1;
  if (parent !== -1) nodes[parent]!.size++;
  const after = nodes.length + 1;
  const node = {
    kind,
    key,
    start,
    end: at,
    parent,
    depth: open.length,
    size: 0,
    after,
    isCut: false,
  };
  nodes.push(node);
  return node;
}

function closeNode({ nodes, open, at }: Reading, isCut: boolean): void {
  Object.assign(nodes[open.pop()!]!, { end: at, after: nodes.length, isCut });
}

/** The next character that is no space. */
function nextOf(reading: Reading): string | undefined {
  match(reading, SPACE);
  return reading.text[reading.at];
}

function match(reading: Reading, pattern: RegExp): RegExpExecArray | null {
  pattern.lastIndex = reading.at;
  const found = pattern.exec(reading.text);
  if (found) reading.at += found[0].length;
  return found;
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
