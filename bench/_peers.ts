import { spawn, spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { Runner } from "./_job.ts";
import { findPostgresProgram, runnerOf, startProgram } from "./_processes.ts";
import { startPgbench } from "./peers/pgbench.ts";
import { startPsql } from "./peers/psql.ts";
import type { Way } from "./_workloads.ts";

/** Those that can be measured here. */
export interface Peers {
  /** The process of a way, if its peer is there. */
  start(way: Way): Runner | undefined;
  /** The others, each with the reason. */
  readonly missing: readonly string[];
}

/** Looks for what does not come with npm: PostgreSQL's programs, and message-db-py at `MESSAGE_DB_PY`. */
export function findPeers(): Peers {
  const pgbench = findPostgresProgram("pgbench");
  const psql = findPostgresProgram("psql");
  const python = findPython();
  const missing: string[] = [];
  if (!pgbench) missing.push("pgbench: it is not installed");
  if (!psql) missing.push("psql: it is not installed");
  if (!python.path) missing.push(`message-db-py: ${python.reason}`);
  return {
    missing,
    start({ title, peer, module }) {
      if (module) return runnerOf(startProgram("_worker.ts", ...module), title);
      if (peer === "pgbench") return pgbench ? startPgbench(pgbench) : undefined;
      if (peer === "psql") return psql ? startPsql(psql) : undefined;
      return python.path ? startPython(python.path) : undefined;
    },
  };
}

function findPython(): { readonly path?: string; readonly reason?: string } {
  const source = process.env["MESSAGE_DB_PY"];
  if (!source) return { reason: "MESSAGE_DB_PY does not say where its source is" };
  const env = { ...process.env, PYTHONPATH: source };
  const script = "import psycopg2, message_db.client";
  const path = ["python3", "/usr/bin/python3"]
    .find((path) => spawnSync(path, ["-c", script], { env }).status === 0);
  return path ? { path } : { reason: `Python can't import it from ${source}, or not psycopg2` };
}

function startPython(path: string): Runner {
  const program = fileURLToPath(new URL("peers/message_db.py", import.meta.url));
  const child = spawn(path, [program], { stdio: ["pipe", "pipe", "inherit"] });
  return runnerOf(child, "message-db-py");
}
