/**
 * For tests: a database of a test's own.
 *
 * @example A database for a test
 * ```ts
 * import { readStream, write } from "@messagedb/client";
 * import { testStore } from "@messagedb/client/testing";
 *
 * await using store = await testStore();
 * await write(store.sql, "account-123", { type: "Opened" });
 * (await readStream(store.sql, "account-123")).length; // 1
 * ```
 *
 * @module
 */

// With a database
export { type TestStore, testStore, type TestStoreOptions } from "./test_store.ts";
