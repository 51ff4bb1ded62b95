import type { JSX } from "preact";
import { Dialog } from "./dialog.tsx";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "search: a stream, a category, a message id, a position, or a text"],
  ["g o", "go to the overview"],
  ["g a", "go to all messages"],
  ["g c", "go to the categories"],
  ["g k", "go to the consumers"],
  ["j k", "the next row of a table, the row before; so do the arrows"],
  ["Enter", "open the row"],
  ["Esc", "close the message, the dialog, or the list of the search"],
  ["← →", "in a trace: the cause, the first effect; in an entity: the state before, after"],
  ["?", "this list"],
];

export function KeysDialog({ close }: { readonly close: () => void }): JSX.Element {
  return (
    <Dialog title="Keys" close={close}>
      <dl class="keys">
        {KEYS.map(([keys, text]) => (
          <div key={keys}>
            <dt>{keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
