/**
 * What a handle's call resolves to: the rows, or an object that holds them under `rows`.
 *
 * The library reads the first column of the first row, so any row shape will do.
 */
export type Rows = readonly unknown[] | { readonly rows: readonly unknown[] };

/**
 * The handle: any tagged-template function that sends a statement and resolves to its rows.
 *
 * The `sql` of postgres.js (also inside `sql.begin` and from `sql.reserve`), Bun's `SQL`, Neon's
 * `neon()` and PGlite's `pg.sql` are handles as they are; `fromQuery` makes one of anything else.
 * Every parameter that the library sends is a string or null.
 */
export interface Sql {
  (strings: TemplateStringsArray, ...parameters: (string | null)[]): PromiseLike<Rows>;
}
