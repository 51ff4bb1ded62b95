import type { TestProject } from "vitest/node";
import { keepTemporaryFilesInMemory } from "./_in_memory.ts";
import { type Origin, startTestServer } from "./_server.ts";

declare module "vitest" {
  // What test/database.ts reads with `inject`.
  interface ProvidedContext {
    databaseOrigin: Origin;
  }
}

/** Vitest's global set-up: one server for the whole run. */
export default async function setup(
  project: TestProject,
): Promise<() => Promise<void>> {
  keepTemporaryFilesInMemory();
  const server = await startTestServer();
  console.log(`The test databases are on ${server.source}`);
  project.provide("databaseOrigin", server.origin);
  return server.stop;
}
