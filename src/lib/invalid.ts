/** The error for a bad argument: says which argument it is, what was given, and what it must be. */
export function invalid(
  name: string,
  value: unknown,
  rule: string,
  Class: ErrorConstructor = TypeError,
): Error {
  return new Class(`Cannot use ${quote(value)} as "${name}": it must be ${rule}`);
}

/** The value; of an object only its kind, because the members may be long or secret. */
function quote(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return value.length === 0 ? "[]" : "an array";
  if (typeof value === "object" && value !== null && !(value instanceof Date)) {
    return `an object of ${value.constructor?.name ?? "no class"}`;
  }
  if (typeof value === "bigint") return `${value}n`;
  return typeof value === "function" ? "a function" : String(value);
}
