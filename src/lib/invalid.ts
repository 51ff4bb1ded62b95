/** The error for a bad argument: which one, what it is, what it has to be. */
export function invalid(
  name: string,
  value: unknown,
  rule: string,
  Class: ErrorConstructor = TypeError,
): Error {
  return new Class(`Cannot use ${quote(value)} as "${name}": it must be ${rule}`);
}

/** The value, or its kind: what an object holds may be long, or secret. */
function quote(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return value.length === 0 ? "[]" : "an array";
  if (typeof value === "object" && value !== null) {
    return `an object of ${value.constructor?.name ?? "no class"}`;
  }
  return typeof value === "function" ? "a function" : String(value);
}
