import type { Cursor, Page } from "../read/_page.ts";
import type { Head } from "./_heads.ts";

/** What a follower has seen of its source, and of the head of that. */
export interface SeenHead {
  /** Moves behind a page. */
  moveTo(page: Pick<Page, "next" | "mark">): void;
  /** Whether a read from this place may find something: a message, or that the store went back. */
  readonly isNews: (heads: readonly (Head | null)[] | undefined, store: string) => boolean;
}

/** Makes what a follower of one source has seen. */
export function seenHeadOf({ position, mark = null }: Cursor): SeenHead {
  let next = position;
  let passed = mark;
  // The head that has led to the last read. If that read has found nothing, the head is no news any more.
  let seen: string | undefined;
  return {
    moveTo: (page) => {
      const { mark = null } = page;
      // A head that was seen before this page may be a message that is gone since.
      if (page.next !== next || mark?.id !== passed?.id) seen = undefined;
      next = page.next;
      passed = mark;
    },
    isNews: (heads, store) => {
      if (heads === undefined) return false;
      const head = heads[0] ?? null;
      const now = JSON.stringify([store, head]);
      const isBehind = head !== null && head[0] >= next;
      const isAtHead = head !== null && passed?.id === head[1] && passed.store === store;
      if (!isBehind && (isAtHead || now === seen)) return false;
      seen = now;
      return true;
    },
  };
}
