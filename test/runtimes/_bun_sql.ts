import type { Sql } from "@messagedb/client";
import type { Environment, Settings } from "./environment.ts";

interface BunSql extends Sql {
  begin<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  end(): Promise<void>;
}

// Not `@types/bun`: it would put Bun's globals into every file of the project.
declare const Bun: {
  readonly SQL: new (url: string, options: { readonly max: number }) => BunSql;
};

export function connect({ url, bareUrl }: Settings): Environment {
  const sql = new Bun.SQL(url, { max: 10 });
  const bare = new Bun.SQL(bareUrl, { max: 1 });
  return {
    sql,
    bare,
    begin: (work) => sql.begin(work),
    close: async () => {
      await Promise.all([sql.end(), bare.end()]);
    },
  };
}
