import postgres from "postgres";

/** A pool of so many connections. */
export function connectTo(url: string, max: number): postgres.Sql {
  return postgres(url, { max, onnotice: () => {} });
}
