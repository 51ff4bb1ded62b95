import { invalid } from "../lib/invalid.ts";

/**
 * The category of a stream name: the part before the first `-`, or the whole name if it has no `-`.
 *
 * As Message DB's `category`.
 *
 * @example The category of a stream and of a command stream
 * ```ts
 * import { category } from "@messagedb/client";
 *
 * category("account-123"); // "account"
 * category("account:command-123"); // "account:command"
 * ```
 *
 * @param streamName A stream name or a category.
 * @returns The category, including its types.
 */
export function category(streamName: string): string {
  const dash = streamName.indexOf("-");
  return dash === -1 ? streamName : streamName.slice(0, dash);
}

/**
 * The id of a stream name: the part after the first `-`. A compound id is included as a whole.
 *
 * As Message DB's `id`.
 *
 * @example
 * ```ts
 * import { id } from "@messagedb/client";
 *
 * id("transfer-123+456"); // "123+456"
 * id("transfer"); // null
 * ```
 *
 * @param streamName A stream name or a category.
 * @returns The id, or `null` for a category.
 */
export function id(streamName: string): string | null {
  const dash = streamName.indexOf("-");
  return dash === -1 ? null : streamName.slice(dash + 1);
}

/**
 * The parts of a compound id: the id, split at each `+`.
 *
 * @example
 * ```ts
 * import { ids } from "@messagedb/client";
 *
 * ids("transfer-123+456"); // ["123", "456"]
 * ids("transfer"); // []
 * ```
 *
 * @param streamName A stream name or a category.
 * @returns The parts, in order; an empty list for a category.
 */
export function ids(streamName: string): string[] {
  return id(streamName)?.split("+") ?? [];
}

/**
 * The first part of the id. It decides which member of a consumer group reads the stream.
 *
 * As Message DB's `cardinal_id`.
 *
 * @example
 * ```ts
 * import { cardinalId } from "@messagedb/client";
 *
 * cardinalId("transfer-123+456"); // "123"
 * cardinalId("transfer"); // null
 * ```
 *
 * @param streamName A stream name or a category.
 * @returns The cardinal id, or `null` for a category.
 */
export function cardinalId(streamName: string): string | null {
  return ids(streamName)[0] ?? null;
}

/**
 * Whether a name is a category: whether it has no `-`.
 *
 * As Message DB's `is_category`.
 *
 * @example
 * ```ts
 * import { isCategory } from "@messagedb/client";
 *
 * isCategory("account"); // true
 * isCategory("account-123"); // false
 * ```
 *
 * @param name A stream name or a category.
 * @returns `true` for a category, `false` for a stream.
 */
export function isCategory(name: string): boolean {
  return !name.includes("-");
}

/**
 * The types of a category: the part after its first `:`, split at each `+`.
 *
 * As Eventide's stream name types: `command`, `position`, `snapshot`, …
 *
 * @example
 * ```ts
 * import { types } from "@messagedb/client";
 *
 * types("account:command+position-123"); // ["command", "position"]
 * types("account-123"); // []
 * ```
 *
 * @param streamName A stream name or a category.
 * @returns The types, in order; an empty list if the category has no type.
 */
export function types(streamName: string): string[] {
  const name = category(streamName);
  const colon = name.indexOf(":");
  return colon === -1 ? [] : name.slice(colon + 1).split("+");
}

/**
 * The name of the entity: the category without its types, the part before the first `:`.
 *
 * As Eventide's `get_entity_name`.
 *
 * @example
 * ```ts
 * import { entityName } from "@messagedb/client";
 *
 * entityName("account:command-123"); // "account"
 * entityName("account"); // "account"
 * ```
 *
 * @param streamName A stream name or a category.
 * @returns The name, without types and id.
 */
export function entityName(streamName: string): string {
  return category(streamName).split(":", 1)[0]!;
}

/**
 * Composes a category: `{name}:{type}+{type}`.
 *
 * @example
 * ```ts
 * import { categoryName } from "@messagedb/client";
 *
 * categoryName("account", ["command"]); // "account:command"
 * categoryName("account:command", ["position"]); // "account:command+position"
 * ```
 *
 * @param category The category, without a `-`; it may have types already.
 * @param types Types to add to the category.
 * @returns The category.
 * @throws {TypeError} If a part is empty, or contains a separator, so that it would be read back as another
 * name.
 */
export function categoryName(category: string, types: readonly string[]): string {
  if (typeof category !== "string" || !category || !isCategory(category)) {
    throw invalid("category", category, 'a name without "-"');
  }
  for (const type of types) {
    if (typeof type !== "string" || !type || /[-+:]/.test(type)) {
      throw invalid("types", type, 'names without "-", "+" or ":"');
    }
  }
  const separator = category.includes(":") ? "+" : ":";
  return category + types.map((type, at) => (at === 0 ? separator : "+") + type).join("");
}

/**
 * Composes a stream name: `{category}:{type}+{type}-{id}+{id}`.
 *
 * @example
 * ```ts
 * import { streamName } from "@messagedb/client";
 *
 * streamName("account", "123"); // "account-123"
 * streamName("transfer", ["123", "456"]); // "transfer-123+456"
 * streamName("account", "123", ["command"]); // "account:command-123"
 * ```
 *
 * @param category The category, without a `-`; it may have types already.
 * @param id The id, or the parts of a compound id. A part of several must not contain `+`.
 * @param types Types to add to the category.
 * @returns The stream name.
 * @throws {TypeError} If a part is empty, or contains a separator, so that it would be read back as another
 * name.
 */
export function streamName(
  category: string,
  id: string | readonly string[],
  types: readonly string[] = [],
): string {
  const parts = typeof id === "string" ? [id] : id;
  if (!Array.isArray(parts) || parts.length === 0) throw invalid("id", id, "a name or names");
  for (const part of parts) {
    if (typeof part !== "string" || !part || (part !== id && part.includes("+"))) {
      throw invalid("id", part, 'a name, or names without "+"');
    }
  }
  return `${categoryName(category, types)}-${parts.join("+")}`;
}
