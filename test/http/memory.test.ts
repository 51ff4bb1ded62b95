import { execFile } from "node:child_process";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { write } from "../../mod.ts";
import { pathOf } from "../_path_of.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

const MEGABYTE = 1_000_000;

test.each([
  [16 * MEGABYTE, 422, false],
  [1000 * MEGABYTE, 200, true],
])(
  "a gateway that answers up to %d bytes: %d, and whether it grows by the 250 MB that are asked for: %s",
  async (limit, status, grows) => {
    const id = crypto.randomUUID();
    await write(db.sql, `big-${limit}`, { id, type: "Big", data: "x".repeat(MEGABYTE) });
    const program = pathOf("test/http/_memory_program.ts");
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import", "tsx", program, db.url, id, String(limit)],
      { cwd: pathOf(".") },
    );
    const answer = JSON.parse(stdout);
    expect(answer.status).toBe(status);
    expect(answer.grown > 250 * MEGABYTE).toBe(grows);
  },
);
