import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";

/**
 * Finds a file of an installed npm package; undefined if the package is not installed.
 *
 * The search starts at `origin` (the URL or path of a module), and then at the working directory, because
 * a module that was loaded over the network has no `node_modules` above it.
 */
export function findPackageFile(specifier: string, origin: string): string | undefined {
  for (const from of [origin, join(process.cwd(), "package.json")]) {
    try {
      return createRequire(from).resolve(specifier);
    } catch {
      // The package is not installed there, or `origin` is not a file.
    }
  }
  return undefined;
}
