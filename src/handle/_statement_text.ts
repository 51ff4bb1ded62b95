/** The text of a statement, with `$1`, `$2`, … for its parameters. */
export function textOf(strings: TemplateStringsArray): string {
  return strings.reduce((text, part, at) => `${text}$${at}${part}`);
}
