/** The text of a thrown value, whatever kind of value it is. */
export function wordsOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return "something that is no text";
  }
}
