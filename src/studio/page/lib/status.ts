import { OWN_KINDS } from "../../_own_kinds.ts";
import type { StoresAnswer } from "../../_api.ts";
import { call } from "./call.ts";
import { type Shared, shared } from "./store.ts";

export type StoreOf = StoresAnswer["stores"][number];
/** A category, and the partition that it is in; null in a plain store. */
export type CategoryOf = StoreOf["categories"][number] & { readonly partition: number | null };

/** The categories of the store, as they were known last: for suggestions. */
export const knownCategories: Shared<readonly CategoryOf[]> = shared<readonly CategoryOf[]>([]);

export function rememberCategories({ stores }: StoresAnswer): void {
  knownCategories.set(categoriesOf(stores));
}

export async function askForCategories(): Promise<void> {
  if (knownCategories.get().length > 0) return;
  try {
    rememberCategories(await call("storeStatus", {}));
  } catch {
    // Without them there are no suggestions.
  }
}

/** The categories of all partitions: one that was written past the handle may be in several. */
export function categoriesOf(stores: readonly StoreOf[]): CategoryOf[] {
  return stores.flatMap(({ categories, number }) =>
    categories.map((it) => ({ ...it, partition: number }))
  );
}

/** The latest first: by time where there are partitions, because each has positions of its own. */
export function byLast(a: CategoryOf, b: CategoryOf): number {
  if (a.partition === null) return b.lastGlobalPosition - a.lastGlobalPosition;
  return lastTime(b) - lastTime(a);
}

function lastTime({ lastAt }: CategoryOf): number {
  return lastAt === null ? Infinity : Date.parse(lastAt);
}

/** A category of the library's own messages: `account:position`. */
export function isOwnCategory(category: string): boolean {
  return OWN_KINDS.some((it) => category.endsWith(`:${it}`) || category.endsWith(`+${it}`));
}
