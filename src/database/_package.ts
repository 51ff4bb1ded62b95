import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

/**
 * The path of a file of an installed npm package, or undefined.
 *
 * Looked for from `origin` (a module's URL or path) and then from the working directory, because a
 * module that was loaded over the network has no `node_modules` above it.
 */
export function findPackageFile(specifier: string, origin: string): string | undefined {
  for (const from of [origin, join(process.cwd(), "package.json")]) {
    try {
      return createRequire(from).resolve(specifier);
    } catch {
      // Not installed there, or `origin` is no file.
    }
  }
  return undefined;
}
