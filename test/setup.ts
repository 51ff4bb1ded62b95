import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { pathOf } from "./_path_of.ts";
import { keepTemporaryFilesInMemory } from "./_in_memory.ts";
import { type Origin, startTestServer } from "./_server.ts";

declare module "vitest" {
  interface ProvidedContext {
    // What test/database.ts reads with `inject`.
    databaseOrigin: Origin;
    // What test/_made_once.ts reads.
    madeFolders: MadeFolders;
  }
}

/** Folders for what test files share, inside the `node_modules` whose packages that finds. */
interface MadeFolders {
  readonly root: string;
  readonly test: string;
}

/** Vitest's global set-up: one server for the whole run. */
export default async function setup(
  project: TestProject,
): Promise<() => Promise<void>> {
  const removeTemporaryFiles = keepTemporaryFilesInMemory();
  const server = await startTestServer();
  console.log(`The test databases are on ${server.source}`);
  project.provide("databaseOrigin", server.origin);
  const root = await mkdtemp(pathOf("node_modules/.made-"));
  const test = await mkdtemp(pathOf("test/node_modules/.made-"));
  project.provide("madeFolders", { root, test });
  // What was made is as old as the last run, and its source may have changed.
  project.onTestsRerun(async () => void await Promise.all([root, test].map(empty)));
  return async () => {
    await Promise.all([root, test].map((folder) => rm(folder, { recursive: true })));
    await server.stop();
    removeTemporaryFiles();
  };
}

async function empty(folder: string): Promise<void> {
  const names = await readdir(folder);
  await Promise.all(names.map((name) => rm(join(folder, name), { recursive: true })));
}
