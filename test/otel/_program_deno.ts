/** Writes by the tracer that Deno has itself. */
import process from "node:process";
import postgres from "postgres";
import { write } from "@messagedb/client";
import { traced } from "@messagedb/client/otel";

const sql = postgres(process.env["DATABASE_URL"]!, { max: 1, fetch_types: false });
await write(traced(sql), "builtin-1", { type: "Asked" });
await sql.end();
