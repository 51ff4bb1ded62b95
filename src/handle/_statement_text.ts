/** The text of a statement, with `$1`, `$2`, … for its parameters. */
export function textOf(strings: TemplateStringsArray): string {
  return strings.reduce((text, part, at) => `${text}$${at}${part}`);
}

/** Makes what a template tag gets of the parts of a template. */
export function templateOf(parts: readonly string[]): TemplateStringsArray {
  // Not enumerable, as `raw` of a real template is: Bun accepts nothing else.
  return Object.defineProperty([...parts], "raw", {
    value: parts,
  }) as unknown as TemplateStringsArray;
}
