import postgres from "postgres";
import { inSchema } from "@messagedb/client";
import type { Environment, Settings } from "./environment.ts";

export function connect(
  { url, bareUrl, options = {}, schema = "message_store" }: Settings,
): Environment {
  const { transform, bigint, ...rest } = options;
  const settings = {
    ...rest,
    max: 10,
    onnotice: () => {},
    ...(transform && { transform: postgres[transform] }),
    ...(bigint && { types: { bigint: postgres.BigInt } }),
  };
  const sql = inSchema(postgres(url, settings), schema);
  const bare = inSchema(postgres(bareUrl, settings), schema);
  return {
    sql,
    bare,
    schema,
    begin: async (work) => await sql.begin(work) as Awaited<ReturnType<typeof work>>,
    close: async () => {
      await Promise.all([sql.end(), bare.end()]);
    },
  };
}
