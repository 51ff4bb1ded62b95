import { once } from "node:events";
import process from "node:process";
import colors from "picocolors";
import { type Column, tableLines } from "./text.ts";

/** Text in a colour, or as it is where colours are off. */
export type Colors = ReturnType<typeof colors.createColors>;

/** Where a command prints. */
export interface Output {
  /** Whether machines read it: `--json`. */
  readonly isJson: boolean;
  /** Whether a person watches standard output. */
  readonly isTerminal: boolean;
  readonly colors: Colors;
  /** Prints a line of text. */
  print(line?: string): Promise<void>;
  /** Prints a value as a line of JSON. */
  json(value: unknown): Promise<void>;
  /** Prints rows: a table for people, a line of JSON each for machines. */
  table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): Promise<void>;
  /** Prints a line for people on standard error: a hint, a warning, an end. */
  note(text: string): void;
  /** Replaces the line of progress on standard error, if a person watches; without text, ends the line. */
  progress(text?: string): void;
}

/** Makes the output of a command. */
export function makeOutput({ isJson }: { readonly isJson: boolean }): Output {
  const { stdout, stderr } = process;
  const isTerminal = Boolean(stdout.isTTY);
  const hasColors = !isJson && mayColor(isTerminal);
  const palette = colors.createColors(hasColors);
  let progressed = false;
  const clear = () => {
    if (progressed) stderr.write("\r\x1b[K");
    progressed = false;
  };
  const print = async (line = "") => {
    clear();
    if (!stdout.write(`${line}\n`)) await once(stdout, "drain");
  };
  const json = (value: unknown) => print(JSON.stringify(value));
  return {
    isJson,
    isTerminal,
    colors: palette,
    print,
    json,
    async table(columns, rows) {
      if (isJson) {
        for (const row of rows) await json(row);
        return;
      }
      const [titles, ...lines] = await tableLines(columns, rows);
      await print(palette.bold(titles!));
      for (const line of lines) await print(line);
    },
    note(text) {
      clear();
      stderr.write(`${text}\n`);
    },
    progress(text) {
      if (!stderr.isTTY) return;
      clear();
      if (text === undefined) return;
      stderr.write(text.slice(0, (stderr.columns || 80) - 1));
      progressed = true;
    },
  };
}

/** The output of a part of the command: what is printed as JSON begins with what names the part. */
export function outputOf(output: Output, part: Readonly<Record<string, unknown>>): Output {
  const json: Output["json"] = (value) => output.json({ ...part, ...value as object });
  return {
    ...output,
    json,
    async table(columns, rows) {
      if (!output.isJson) return await output.table(columns, rows);
      for (const row of rows) await json(row);
    },
  };
}

/** As https://no-color.org and `FORCE_COLOR` say. */
function mayColor(isTerminal: boolean): boolean {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  if (NO_COLOR) return false;
  if (FORCE_COLOR) return FORCE_COLOR !== "0";
  return isTerminal && TERM !== "dumb";
}
