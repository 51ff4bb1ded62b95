/** What was thrown, in words, whatever it is. */
export function wordsOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return "something that is no text";
  }
}
