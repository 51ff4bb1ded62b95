import type { ListedMessage } from "../../_api.ts";
import { OWN_KINDS } from "../../_own_kinds.ts";

/** Whether the library itself has written it. */
export function isBookkeeping({ kind }: Pick<ListedMessage, "kind">): boolean {
  return OWN_KINDS.includes(kind);
}

/** Whether only the library writes such messages: nobody else adds one, and they make no state of an entity. */
export function isOfLibrary(kind: ListedMessage["kind"]): boolean {
  return kind === "reference" || isBookkeeping({ kind });
}
