import postgres from "postgres";
import type { Environment, Settings } from "./environment.ts";

export function connect({ url, bareUrl, options = {} }: Settings): Environment {
  const { transform, bigint, ...rest } = options;
  const settings = {
    ...rest,
    max: 10,
    onnotice: () => {},
    ...(transform && { transform: postgres[transform] }),
    ...(bigint && { types: { bigint: postgres.BigInt } }),
  };
  const sql = postgres(url, settings);
  const bare = postgres(bareUrl, settings);
  return {
    sql,
    bare,
    begin: async (work) => await sql.begin(work) as Awaited<ReturnType<typeof work>>,
    close: async () => {
      await Promise.all([sql.end(), bare.end()]);
    },
  };
}
