/**
 * A program with test stores that it does not end. It prints the address of the first, and does what it is told
 * line by line: `write` to the last store, or `open` another.
 */
import { write } from "../../mod.ts";
import { testStore } from "../../src/testing/mod.ts";
import process from "node:process";
import { createInterface } from "node:readline";

let store = await testStore();
console.log(store.url);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "open") {
    store = await testStore();
    console.log(store.url);
  } else console.log(await write(store.sql, "account-1", { type: "Opened" }));
}
