import type { ListedMessage, MessageKind } from "../../_api.ts";

/** What the library itself has written. */
const OWN_KINDS: readonly MessageKind[] = [
  "position",
  "group",
  "claim",
  "parked",
  "snapshot",
  "aggregate",
  "settled",
];

export function isBookkeeping({ kind }: ListedMessage): boolean {
  return OWN_KINDS.includes(kind);
}
