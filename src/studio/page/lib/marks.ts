/** A piece of a text: as it is, or a code point that nobody would see or that changes what others look like. */
export interface Piece {
  readonly text: string;
  readonly isMark: boolean;
}

// Controls, format characters (direction, joiners, tags), fillers, line separators and halves of surrogates.
const HIDDEN =
  // deno-lint-ignore no-control-regex
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffc\p{Cs}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

const HIDDEN_OR_SPACE = new RegExp(`${HIDDEN.source}|\\p{Zs}`, "gu");

const NAMES: Readonly<Record<string, string>> = {
  "0": "NUL",
  "9": "TAB",
  A: "LF",
  D: "CR",
  "1B": "ESC",
  "20": "SP",
  A0: "NBSP",
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

/** Splits a text so that hidden code points, and spaces at its ends, can be shown by their names. */
export function piecesOf(text: string, keeps = ""): Piece[] {
  const pieces: Piece[] = [];
  const begin = text.length - text.trimStart().length;
  const end = text.trimEnd().length;
  let done = 0;
  for (const { 0: found, index } of text.matchAll(HIDDEN_OR_SPACE)) {
    if (keeps.includes(found)) continue;
    if (index >= begin && index < end && SPACE.test(found)) continue;
    if (index > done) pieces.push({ text: text.slice(done, index), isMark: false });
    pieces.push({ text: markOf(found), isMark: true });
    done = index + found.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done), isMark: false });
  return pieces;
}

const SPACE = /^\p{Zs}$/u;
const EMPTY: Piece = { text: "(empty)", isMark: true };
const ELLIPSIS: Piece = { text: "…", isMark: false };

/** The pieces of a text, or of its first part; of an empty one, what says so. */
export function piecesUpTo(most: number, text: string, keeps = ""): Piece[] {
  if (text === "") return [EMPTY];
  const cut = cutText(text, most);
  if (cut.length === text.length) return piecesOf(text, keeps);
  // Spaces where a text is cut are not at its end.
  return [...piecesOf(cut.trimEnd() || cut, keeps), ELLIPSIS];
}

/** A text where no element can be, a label or a title: what is hidden in it stands between brackets. */
export function markedText(text: string, most = 120): string {
  const pieces = piecesUpTo(most, text);
  return pieces.map((it) => it.isMark && it !== EMPTY ? `[${it.text}]` : it.text).join("");
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
