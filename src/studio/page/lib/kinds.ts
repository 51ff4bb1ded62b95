import type { ListedMessage } from "../../_api.ts";
import { OWN_KINDS } from "../../_own_kinds.ts";

/** Whether the library itself has written it. */
export function isBookkeeping({ kind }: ListedMessage): boolean {
  return OWN_KINDS.includes(kind);
}
