/** The text of a statement, its parameters `$1`, `$2`, … */
export function textOf(strings: TemplateStringsArray): string {
  return strings.reduce((text, part, at) => `${text}$${at}${part}`);
}
