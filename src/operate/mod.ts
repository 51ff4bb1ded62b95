/**
 * What an operator asks of a store and does to it, beside running programs.
 *
 * @example Which consumers there are, and how far behind
 * ```ts
 * import { consumers } from "@messagedb/client/operate";
 *
 * for (const { consumerId, behind } of await consumers(sql)) console.log(consumerId, behind);
 * ```
 *
 * @module
 */
