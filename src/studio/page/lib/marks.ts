/** A piece of a text: as it is, or a code point that nobody would see or that changes what others look like. */
export interface Piece {
  readonly text: string;
  readonly isMark: boolean;
}

// Controls, format characters (direction, joiners, tags), fillers, line separators and halves of surrogates.
const HIDDEN =
  // deno-lint-ignore no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffc\p{Cs}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

const NAMES: Readonly<Record<string, string>> = {
  "0": "NUL",
  "9": "TAB",
  A: "LF",
  D: "CR",
  "1B": "ESC",
  AD: "SHY",
  "200B": "ZWSP",
  "200C": "ZWNJ",
  "200D": "ZWJ",
  "200E": "LRM",
  "200F": "RLM",
  "202A": "LRE",
  "202B": "RLE",
  "202C": "PDF",
  "202D": "LRO",
  "202E": "RLO",
  "2066": "LRI",
  "2067": "RLI",
  "2068": "FSI",
  "2069": "PDI",
  FEFF: "BOM",
};

/** Splits a text so that hidden code points can be shown by their names. */
export function piecesOf(text: string, keeps = ""): Piece[] {
  const pieces: Piece[] = [];
  let done = 0;
  for (const { 0: found, index } of text.matchAll(HIDDEN)) {
    if (keeps.includes(found)) continue;
    if (index > done) pieces.push({ text: text.slice(done, index), isMark: false });
    pieces.push({ text: markOf(found), isMark: true });
    done = index + found.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done), isMark: false });
  return pieces;
}

/** A text where no element can be, a label or a title: what is hidden in it stands between brackets. */
export function markedText(text: string, most = 120): string {
  const cut = cutText(text, most);
  const pieces = piecesOf(cut).map(({ text, isMark }) => isMark ? `[${text}]` : text);
  return `${pieces.join("")}${cut.length < text.length ? "…" : ""}`;
}

/** A text as code has it: it cannot end there, and what is hidden in it is escaped. */
export function codeText(text: string): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(HIDDEN, (it) => it.split("").map(escaped).join(""));
}

function markOf(character: string): string {
  const code = character.codePointAt(0)!.toString(16).toUpperCase();
  return NAMES[code] ?? code.padStart(4, "0");
}

/** The first part of a text, not ending in half a surrogate pair. */
export function cutText(text: string, length: number): string {
  if (text.length <= length) return text;
  const isHalf = /[\ud800-\udbff]/.test(text[length - 1]!);
  return text.slice(0, isHalf ? length - 1 : length);
}
