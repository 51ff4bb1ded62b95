import { keptNumber } from "./_kept_numbers.ts";

/** JSON, or its beginning. */
export interface LimitedJson {
  readonly text: string;
  readonly isCut: boolean;
}

/**
 * Makes of a value JSON of so many characters at most. What is beyond is not looked at, so that a value of megabytes
 * costs no more than a small one. What JSON does not have is shown as what is nearest to it.
 */
export function jsonUpTo(limit: number, value: unknown): LimitedJson {
  const writing: JsonWriting = { pieces: [], left: limit, open: [], around: new Set() };
  try {
    addValue(writing, value);
    while (writing.open.length > 0 && writing.left >= 0) addNext(writing);
  } catch (error) {
    return { text: JSON.stringify(`Cannot show this state as JSON: ${error}`), isCut: true };
  }
  const text = writing.pieces.join("");
  return { text: text.slice(0, limit), isCut: text.length > limit };
}

/** How far a value is written. A value may be so deep that recursion would overflow the stack. */
interface JsonWriting {
  readonly pieces: string[];
  /** How many characters there is room for. */
  left: number;
  /** The objects whose members are not all written, the innermost last. */
  readonly open: OpenObject[];
  /** The same objects. */
  readonly around: Set<unknown>;
}

interface OpenObject {
  readonly object: object;
  readonly members: Iterator<readonly [string, unknown]>;
  readonly end: string;
  /** What is written before the next member. */
  separator: string;
}

function addPiece(writing: JsonWriting, piece: string): void {
  writing.pieces.push(piece);
  writing.left -= piece.length;
}

/** Writes a value, or the beginning of one that has members. */
function addValue(writing: JsonWriting, given: unknown): void {
  const value = asJson(given);
  if (typeof value === "string") {
    // No part of a text that is left out is kept, nor escaped.
    const begin = () => value.slice(0, Math.max(0, writing.left) + 1);
    return addPiece(writing, keptNumber(value) ?? JSON.stringify(begin()));
  }
  if (typeof value !== "object" || value === null) return addPiece(writing, String(value));
  if (writing.around.has(value)) return addPiece(writing, '"[circular]"');
  writing.around.add(value);
  const isList = Array.isArray(value) || value instanceof Set;
  addPiece(writing, isList ? "[" : "{");
  writing.open.push({
    object: value,
    members: isList ? itemsIn(value) : membersIn(value, () => writing.left),
    end: isList ? "]" : "}",
    separator: "",
  });
}

/** Writes the next member of the innermost object, or its end. */
function addNext(writing: JsonWriting): void {
  const object = writing.open.at(-1)!;
  const next = object.members.next();
  if (next.done) {
    addPiece(writing, object.end);
    writing.open.pop();
    writing.around.delete(object.object);
    return;
  }
  const [name, member] = next.value;
  addPiece(writing, object.separator + name);
  object.separator = ",";
  addValue(writing, member);
}

/** The value that stands for another in JSON: a text, an object, or what is written as it is. */
function asJson(value: unknown): unknown {
  const { toJSON } = (value ?? {}) as { readonly toJSON?: unknown };
  if (typeof toJSON === "function") return asJson(Reflect.apply(toJSON, value, [""]));
  switch (typeof value) {
    case "bigint":
      return `${value}n`;
    case "function":
    case "symbol":
      return String(value);
    case "number":
      return Number.isFinite(value) ? value : null;
    case "undefined":
      return null;
    default:
      return value;
  }
}

function* itemsIn(list: Iterable<unknown>): Generator<readonly [string, unknown]> {
  for (const item of list) yield ["", item];
}

function* membersIn(
  object: object,
  left: () => number,
): Generator<readonly [string, unknown]> {
  const entries = object instanceof Map ? object : entriesOf(object);
  for (const [name, member] of entries) {
    if (member === undefined) continue;
    yield [`${JSON.stringify(String(name).slice(0, Math.max(0, left()) + 1))}:`, member];
  }
}

function* entriesOf(object: object): Generator<[string, unknown]> {
  for (const name of Object.keys(object)) yield [name, (object as Record<string, unknown>)[name]];
}
