// The whole module: bundlers rewrite calls of a `createRequire` that is imported by its name.
import module from "node:module";
import { isAbsolute, join } from "node:path";
import process from "node:process";

/** What to do where a package is not found, although it is installed: a part of a sentence. */
export const IF_BUNDLED: string =
  'if a bundler has packed "@messagedb/client", leave it out of the ' +
  'bundle ("serverExternalPackages" of Next.js, "externals" of webpack)';

/**
 * Finds a file of an installed npm package; undefined if the package is not installed.
 *
 * The search starts at `origin`, the URL or path of a module. It starts at the working directory only if
 * that is no file: a module that was loaded over the network, or is in a CommonJS bundle, has no
 * `node_modules` above it. What is found runs with this process's rights, and anybody may have written the
 * folder that a program is started in.
 */
export function findPackageFile(specifier: string, origin: string | undefined): string | undefined {
  const isFile = origin !== undefined && (origin.startsWith("file:") || isAbsolute(origin));
  try {
    return module.createRequire(isFile ? origin : join(process.cwd(), "package.json"))
      .resolve(specifier);
  } catch {
    return undefined;
  }
}
