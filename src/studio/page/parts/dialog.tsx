import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { announce } from "../lib/announce.ts";
import { asFailure, type CallFailure, failureText } from "../lib/call.ts";
import { allSoon } from "../lib/ticker.ts";
import { Failed } from "./states.tsx";

/** Of radio buttons, the Tab key goes to the chosen one. */
const FIRST_FIELD = "input:not([type=radio]), input:checked, select, textarea";

export function Dialog(
  { title, close, children, isWide = false }: {
    readonly title: string;
    readonly close: () => void;
    readonly children: ComponentChildren;
    readonly isWide?: boolean;
  },
): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    element.current?.showModal();
    // The browser would begin at "Close".
    (element.current?.querySelector<HTMLElement>(FIRST_FIELD) ?? element.current)?.focus();
    return () => before?.focus?.();
  }, []);
  const onClick = (event: MouseEvent) => {
    if (event.target === element.current) close();
  };
  return (
    <dialog
      ref={element}
      tabIndex={-1}
      class={isWide ? "wide" : ""}
      aria-labelledby={id}
      onClose={close}
      onClick={onClick}
    >
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" class="quiet" aria-label="Close" onClick={close}>Close</button>
      </header>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

/** What has failed after its dialog was closed is shown for so many milliseconds: nobody looks for it. */
const FAILURE_SHOWN = 20_000;

/** A dialog that says what will be done, and does it when one agrees. */
export function Confirm(
  { title, verb, act, close, children, isReady = true, isDangerous = false }: {
    readonly title: string;
    /** What the button says. */
    readonly verb: string;
    /** If the dialog stays because there is more to do, answers what is to be said when it was closed meanwhile. */
    readonly act: () => Promise<string | void>;
    readonly close: () => void;
    readonly children: ComponentChildren;
    /** Whether all that is needed is there. */
    readonly isReady?: boolean;
    readonly isDangerous?: boolean;
  },
): JSX.Element {
  const [failure, setFailure] = useState<CallFailure>();
  const [isActing, setIsActing] = useState(false);
  const isShown = useRef(true);
  useEffect(() => () => void (isShown.current = false), []);
  const onSubmit = async (event: Event) => {
    event.preventDefault();
    setIsActing(true);
    setFailure(undefined);
    try {
      const more = await act();
      // Closed meanwhile, it must not close another dialog.
      if (isShown.current && !more) close();
      if (!isShown.current && more) announce(more);
    } catch (error) {
      const failure = asFailure(error);
      setFailure(failure);
      if (!isShown.current) announce(`${title}: failed. ${failureText(failure)}`, FAILURE_SHOWN);
    }
    allSoon();
    setIsActing(false);
  };
  return (
    <Dialog title={title} close={close}>
      <form onSubmit={onSubmit}>
        {children}
        {failure && <Failed failure={failure} />}
        <div class="actions">
          <button type="button" onClick={close}>{isActing ? "Close" : "Cancel"}</button>
          <button
            type="submit"
            class={isDangerous ? "danger" : "primary"}
            disabled={!isReady || isActing}
          >
            {isActing ? "Working…" : verb}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
