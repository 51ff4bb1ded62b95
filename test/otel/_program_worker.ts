/** Runs the program on workerd. */
import postgres from "postgres";
import { spansOfProgram } from "./_program.ts";

export default {
  async fetch(
    _: Request,
    { HYPERDRIVE }: { readonly HYPERDRIVE: { readonly connectionString: string } },
  ): Promise<Response> {
    const sql = postgres(HYPERDRIVE.connectionString, { max: 2, fetch_types: false });
    return Response.json(await spansOfProgram(sql, "workerd"));
  },
};
