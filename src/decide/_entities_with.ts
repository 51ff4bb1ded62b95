import type { Entity } from "./entity.ts";

/**
 * Entities, each with its id or with something else.
 *
 * @internal
 */
export type EntitiesWith<Other> =
  | Readonly<Record<string, readonly [Entity<unknown, never>, Other]>>
  | readonly (readonly [Entity<unknown, never>, Other])[];
