import type { MessageKind } from "./_api.ts";

/** The kinds of what this library writes for itself, by the type of the category. */
export const OWN_KINDS: readonly MessageKind[] = [
  "position",
  "aggregate",
  "snapshot",
  "settled",
  "group",
  "claim",
  "parked",
];
