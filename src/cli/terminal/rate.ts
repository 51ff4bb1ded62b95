import type { Output } from "./output.ts";
import { counted, countText } from "./text.ts";

/** How many milliseconds are between two lines of progress. */
const BREAK = 200;

/** Makes what tells of messages as they are counted: how many, how many a second, and the share that is done. */
export function makeRate(
  output: Output,
  verb: string,
): (count: number, share?: number | undefined) => void {
  const start = Date.now();
  let told = start;
  return (count, share) => {
    const now = Date.now();
    if (now - told < BREAK) return;
    told = now;
    const rate = Math.round(count / (now - start) * 1000);
    const part = share === undefined ? "" : `, ${Math.floor(share * 100)} %`;
    output.progress(`${verb} ${counted(count, "message")}, ${countText(rate)} a second${part}`);
  };
}
