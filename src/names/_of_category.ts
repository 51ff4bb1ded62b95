/**
 * SQL: whether a message is of a category, which is given as SQL.
 *
 * The comparisons after the first one say nothing new. But PostgreSQL expects a 200th of all messages to be between two
 * values that it does not know, so it takes `messages_category`. By the first one alone, it expects as many messages as a
 * category has on average: where a store has few categories, it would go through all messages by their global positions
 * until it has found enough, and for a category that has few, through the whole table.
 */
export function isOfCategory(category: string): string {
  return ["=", ">=", "<="]
    .map((it) => `message_store.category(stream_name) ${it} ${category}`)
    .join(" and ");
}
