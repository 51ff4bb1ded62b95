/** Runs the program on a runtime with a process, and prints the spans as JSON. */
import process from "node:process";
import postgres from "postgres";
import { spansOfProgram } from "./_program.ts";

const sql = postgres(process.env["DATABASE_URL"]!, { max: 2, fetch_types: false });
console.log(JSON.stringify(await spansOfProgram(sql, process.argv[2]!)));
await sql.end();
