/** The part of a page that a program makes: it stands between the marks that keep the formatter off. */
import { readFileSync, writeFileSync } from "node:fs";
import { pathOf } from "../_path_of.ts";

const BEGIN = "<!-- deno-fmt-ignore-start -->\n";
const END = "<!-- deno-fmt-ignore-end -->";

/** The part as it is committed. */
export function committedPart(page: string): string {
  const { text, begin, end } = findPart(page);
  return text.slice(begin, end);
}

/** Puts a new part in the place of the old one. */
export function renewPart(page: string, part: string): void {
  const { text, begin, end } = findPart(page);
  writeFileSync(pathOf(page), text.slice(0, begin) + part + text.slice(end));
}

function findPart(page: string): { text: string; begin: number; end: number } {
  const text = readFileSync(pathOf(page), "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin === -1 || end === -1) throw new Error(`${page} has no part that a program makes`);
  return { text, begin: begin + BEGIN.length, end };
}

/** A table of Markdown. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
