/** A column of a table. */
export interface Column<Row> {
  readonly title: string;
  readonly of: (row: Row) => string;
  /** Numbers stand on the right. */
  readonly isNumber?: boolean;
}

/** The lines of a table, with its titles, without an end of line. */
export async function tableLines<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): Promise<string[]> {
  // It takes 20 ms to load, which a command without a table need not wait for.
  const { default: stringWidth } = await import("string-width");
  const texts = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map((it) => it.of(row))),
  ];
  const widths = columns.map((_, at) => Math.max(...texts.map((row) => stringWidth(row[at]!))));
  return texts.map((row) =>
    row.map((text, at) => {
      const space = " ".repeat(widths[at]! - stringWidth(text));
      return columns[at]!.isNumber ? space + text : text + space;
    }).join("  ").trimEnd()
  );
}

/** A bar of up to `width` characters, in eighths of one: `"███▌"`. */
export function barText(value: number, most: number, width = 20): string {
  if (value <= 0 || most <= 0) return "";
  const eighths = Math.max(1, Math.round(value / most * width * 8));
  return "█".repeat(Math.floor(eighths / 8)) +
    ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]!;
}

/** A number with its thousands apart: `"1,234,567"`. */
export function countText(value: number): string {
  return value.toLocaleString("en-US");
}

/** A number of things: `"1 message"`, `"1,234 messages"`. */
export function counted(count: number, thing: string): string {
  return `${countText(count)} ${thing}${count === 1 ? "" : "s"}`;
}

/** A span of milliseconds as people read it: `"250 ms"`, `"42 s"`, `"3 h 10 min"`. */
export function spanText(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  const seconds = Math.round(milliseconds / 1000);
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  return parts.slice(first, first + 2).filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** A time in UTC, to the second: `"2026-01-31 12:00:00Z"`. */
export function timeText(time: Date | null): string {
  if (time === null) return "unreadable time";
  return `${time.toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/** Text of the store for a terminal: what would control the terminal is written out, as `\x1b`. */
export function printable(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex
    /[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => {
      const code = character.codePointAt(0)!;
      return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
    },
  );
}

/** Text of at most so many characters, for a table: `"account-123…"`. */
export function shortened(text: string, most = 100): string {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text;
}
