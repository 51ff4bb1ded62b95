import type { JSX } from "preact";
import { piecesUpTo } from "../lib/marks.ts";

/** Someone else's text: its direction does not reach what is around it, and nothing in it is hidden. */
export function Foreign(
  { text, most = 300, keeps = "" }: {
    readonly text: string;
    /** How many characters are shown at most. */
    readonly most?: number;
    /** Hidden characters that are shown as they are. */
    readonly keeps?: string;
  },
): JSX.Element {
  return (
    <bdi>
      {piecesUpTo(most, text, keeps).map(({ text, isMark }, index) =>
        isMark ? <span key={index} class="mark">{text}</span> : text
      )}
    </bdi>
  );
}

/** A name within a sentence. */
export function ForeignCode({ text }: { readonly text: string }): JSX.Element {
  return (
    <code>
      <Foreign text={text} most={120} />
    </code>
  );
}
