import { build } from "esbuild";
import { basename, join } from "node:path";
import { pathOf } from "./_path_of.ts";
import { madeOnce } from "./_made_once.ts";

/**
 * Makes a program of TypeScript into one that Node runs as it is: it starts in a fifth of the time that
 * tsx needs. Its packages are not in it, and it must not find its own files by `import.meta.url`.
 *
 * @param path From the root of the repository.
 * @returns The file.
 */
export async function builtProgram(path: string): Promise<string> {
  const folder = await madeOnce(path.replaceAll(/\W/g, "_"), "test", (folder) =>
    build({
      entryPoints: [pathOf(path)],
      outdir: folder,
      outExtension: { ".js": ".mjs" },
      bundle: true,
      // What is imported later, if at all, is a file of its own.
      splitting: true,
      format: "esm",
      platform: "node",
      target: "node20",
      packages: "external",
      tsconfig: pathOf("tsconfig.json"),
      sourcemap: "inline",
      logLevel: "error",
    }));
  return join(folder, basename(path).replace(/\.ts$/, ".mjs"));
}
