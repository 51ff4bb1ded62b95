/** A list as a parameter: its JSON, or null if there is none. */
export function listParameter(list: readonly string[] | undefined): string | null {
  return list === undefined ? null : JSON.stringify(list);
}
