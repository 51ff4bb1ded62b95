/** What a kept number begins with: no text of jsonb has it. */
const KEPT = "\0";
const NUMBER_OF_JSON = /-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/y;
const STRING_OR_NUMBER = /["\d-]/g;

/**
 * Parses JSON of the store. A number that JavaScript would write in another way is a text, which `keptNumber` knows:
 * `12345678901234567890` would be rounded, and `1.50` shortened.
 */
export function parseKeepingNumbers(json: string): unknown {
  const pieces: string[] = [];
  let taken = 0;
  for (let at = 0; (at = nextToken(json, at)) !== -1;) {
    if (json[at] === '"') {
      at = placeBehind(json, at);
      continue;
    }
    NUMBER_OF_JSON.lastIndex = at;
    const number = NUMBER_OF_JSON.exec(json)![0];
    if (String(Number(number)) !== number) {
      pieces.push(json.slice(taken, at), JSON.stringify(KEPT + number));
      taken = at + number.length;
    }
    at += number.length;
  }
  return JSON.parse(pieces.join("") + json.slice(taken));
}

/** The number that a text stands for, as the store has it; undefined for any other text. */
export function keptNumber(text: string): string | undefined {
  return text[0] === KEPT && /^\0-?\d[\d.eE+-]*$/.test(text) ? text.slice(1) : undefined;
}

function nextToken(json: string, at: number): number {
  STRING_OR_NUMBER.lastIndex = at;
  return STRING_OR_NUMBER.exec(json)?.index ?? -1;
}

/** The place behind a string. */
function placeBehind(json: string, begin: number): number {
  for (let at = begin;;) {
    at = json.indexOf('"', at + 1);
    let escapes = 0;
    while (json[at - 1 - escapes] === "\\") escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
}
