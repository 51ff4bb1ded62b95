import { OWN_KINDS } from "../../_own_kinds.ts";
import type { StoresAnswer } from "../../_api.ts";
import { call } from "./call.ts";
import { type Shared, shared } from "./store.ts";

export type StoreOf = StoresAnswer["stores"][number];
/** A category, and the number of its partition; undefined in a plain store. */
export type CategoryOf = StoreOf["categories"][number] & { readonly partition?: number };

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

/** The categories of all partitions; each is in one of them. */
export function categoriesOf(stores: readonly StoreOf[]): CategoryOf[] {
  if (stores.length === 1) return [...stores[0]!.categories];
  return stores.flatMap(({ categories }, partition) =>
    categories.map((it) => ({ ...it, partition }))
  );
}

/** A category of the library's own messages: `account:position`. */
export function isOwnCategory(category: string): boolean {
  return OWN_KINDS.some((it) => category.endsWith(`:${it}`) || category.endsWith(`+${it}`));
}
