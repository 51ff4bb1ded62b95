/** Whether the value is a plain object: an object without a class, of any realm. */
export function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * A copy of the lists, plain objects and Dates in a value. Instances of other classes are the value's own. A cycle is
 * left as it is.
 */
export function copyPlain(value: unknown, around: unknown[] = []): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Date) return new Date(value);
  const isList = Array.isArray(value);
  if (!isList && !isPlain(value) || around.includes(value)) return value;
  around.push(value);
  const copy = isList ? value.map((it) => copyPlain(it, around)) : copyMembers(value, around);
  around.pop();
  return copy;
}

function copyMembers(value: object, around: unknown[]): object {
  const copy: Record<string, unknown> = { ...value };
  for (const key of Object.keys(copy)) {
    const member = copy[key];
    // V8 reads an object faster of which nothing was set.
    if (typeof member === "object") copy[key] = copyPlain(member, around);
  }
  return copy;
}

/** The value, with the digits in place of each bigint. A cycle is left as it is, so that JSON refuses it. */
export function withDigits(value: unknown): unknown {
  return mapLeaves(value, (leaf) => typeof leaf === "bigint" ? String(leaf) : leaf);
}

/** The value as text: equal for equal values. A Date gives another text than the string of the date. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(mapLeaves(value, tagLeaf));
}

/** A stand-in for a value that JSON would drop, or would write as it writes another value. */
function tagLeaf(leaf: unknown): unknown {
  if (typeof leaf === "bigint") return { bigint: String(leaf) };
  if (leaf instanceof Date) return { date: leaf.getTime() };
  if (leaf instanceof Map) {
    return { map: [...leaf].map((entry) => entry.map(canonicalText)) };
  }
  return leaf instanceof Set ? { set: [...leaf].map(canonicalText) } : leaf;
}

/**
 * Whether a value that was read agrees with the value that was given.
 *
 * Members that only one of the two objects has are ignored. A string agrees with any string, and a number
 * with any number. A bigint, or an object that is not plain (a Date, a Map), agrees only with an equal one.
 */
export function isReadAsGiven(read: unknown, given: unknown): boolean {
  if (Array.isArray(read) && Array.isArray(given)) {
    return read.every((it, at) => isReadAsGiven(it, given[at]));
  }
  if (isPlain(read) && isPlain(given)) {
    const shared = Object.keys(read).filter((key) =>
      Object.hasOwn(given, key) && given[key] !== undefined
    );
    return shared.every((key) => isReadAsGiven(read[key], given[key]));
  }
  return typeof read === "object" || typeof read === "bigint"
    ? canonicalText(read) === canonicalText(given)
    : typeof read === typeof given;
}

/**
 * The value, with everything in it replaced that is neither a list nor a plain object. The members of each
 * object are sorted. A cycle is left as it is.
 */
function mapLeaves(
  value: unknown,
  replace: (leaf: unknown) => unknown,
  around: Set<unknown> = new Set(),
): unknown {
  const isList = Array.isArray(value);
  if (!isList && !isPlain(value)) return replace(value);
  if (around.has(value)) return value;
  around.add(value);
  const map = (it: unknown) => mapLeaves(it, replace, around);
  const mapped = isList
    ? value.map(map)
    : Object.fromEntries(Object.keys(value).sort().map((key) => [key, map(value[key])]));
  around.delete(value);
  return mapped;
}
