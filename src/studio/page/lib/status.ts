import { OWN_KINDS } from "../../_own_kinds.ts";
import type { StoresAnswer } from "../../_api.ts";
import { call } from "./call.ts";
import { type Shared, shared } from "./store.ts";

export type StoreOf = StoresAnswer["stores"][number];
export type CategoryOf = StoreOf["categories"][number];

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
  return stores.flatMap(({ categories }) => categories);
}

/** A category of the library's own messages: `account:position`. */
export function isOwnCategory(category: string): boolean {
  return OWN_KINDS.some((it) => category.endsWith(`:${it}`) || category.endsWith(`+${it}`));
}
