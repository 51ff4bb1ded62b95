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
  const pieces: string[] = [];
  const around = new Set<unknown>();
  let left = limit;
  const add = (piece: string) => {
    pieces.push(piece);
    left -= piece.length;
  };
  const addMembers = (
    begin: string,
    members: Iterable<readonly [string, unknown]>,
    end: string,
  ) => {
    let separator = begin;
    for (const [name, member] of members) {
      if (left < 0) return;
      add(separator + name);
      addValue(member);
      separator = ",";
    }
    add(separator === begin ? begin + end : end);
  };
  const addObject = (object: object) => {
    if (around.has(object)) return add('"[circular]"');
    around.add(object);
    if (Array.isArray(object) || object instanceof Set) {
      addMembers("[", itemsIn(object), "]");
    } else addMembers("{", membersIn(object, () => left), "}");
    around.delete(object);
  };
  const addValue = (given: unknown): void => {
    const value = asJson(given);
    if (typeof value === "string") {
      const number = keptNumber(value);
      if (number !== undefined) return add(number);
      // No part of a text that is left out is kept, nor escaped.
      return add(JSON.stringify(value.slice(0, Math.max(0, left) + 1)));
    }
    if (typeof value === "object" && value !== null) return addObject(value);
    add(String(value));
  };
  try {
    addValue(value);
  } catch (error) {
    return { text: JSON.stringify(`Cannot show this state as JSON: ${error}`), isCut: false };
  }
  const text = pieces.join("");
  return { text: text.slice(0, limit), isCut: text.length > limit };
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
