/** The height of a row of a trace. */
export const TRACE_ROW = 30;

/** How far a message is to the right; of a deep one, not beyond half of the picture. */
export function indentOf(depth: number): number {
  return Math.min(depth, 14) * 18 + 26;
}
