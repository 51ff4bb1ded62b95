import { assert } from "chai";

/** What the suite uses of node:assert/strict, for where that is not. */
export const deepEqual: typeof assert.deepEqual = assert.deepEqual;
export const equal: typeof assert.strictEqual = assert.strictEqual;
export const ok: typeof assert.isOk = assert.isOk;
