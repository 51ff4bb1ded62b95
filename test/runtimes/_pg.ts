import { fromQuery } from "@messagedb/client";
import pg from "pg";
import type { Environment, Settings } from "./environment.ts";

export function connect({ url, bareUrl }: Settings): Environment {
  const pool = new pg.Pool({ connectionString: url, max: 10 });
  const bare = new pg.Pool({ connectionString: bareUrl, max: 1 });
  return {
    sql: fromQuery((text, parameters) => pool.query(text, parameters)),
    bare: fromQuery((text, parameters) => bare.query(text, parameters)),
    begin: async (work) => {
      const client = await pool.connect();
      try {
        await client.query("begin");
        const result = await work(
          fromQuery((text, parameters) => client.query(text, parameters)),
        );
        await client.query("commit");
        return result;
      } catch (error) {
        await client.query("rollback");
        throw error;
      } finally {
        client.release();
      }
    },
    close: async () => {
      await Promise.all([pool.end(), bare.end()]);
    },
  };
}
