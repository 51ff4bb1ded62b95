import { fetchSql } from "@messagedb/client/fetch";
import type { Environment, Settings } from "./environment.ts";

export function connect({ url, bareUrl }: Settings): Environment {
  return {
    sql: fetchSql(url),
    bare: fetchSql(bareUrl),
    refusesOtherSql: true,
    close: () => Promise.resolve(),
  };
}
