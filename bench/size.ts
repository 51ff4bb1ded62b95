/** `npm run size`: what the core and single imports from it add to a bundle for browsers. */
import { build, type BuildResult, type Metafile } from "esbuild";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** What most programs take. */
export const EVERYDAY = "{ write, writeBatch, readStream, readCategory, streamVersion }";

/** A minified bundle, with all that it holds inside. */
export interface Bundle {
  readonly text: string;
  readonly metafile: Metafile;
  readonly warnings: BuildResult["warnings"];
  /** In bytes. */
  readonly minified: number;
  /** In bytes. */
  readonly gzipped: number;
}

/**
 * Bundles for browsers what a program takes from the core.
 *
 * @param names `*`, or names in braces.
 * @param define Expressions to put something else for.
 */
export async function bundle(
  names: string,
  define: Readonly<Record<string, string>> = {},
): Promise<Bundle> {
  const { outputFiles, metafile, warnings } = await build({
    stdin: {
      contents: `export ${names} from "./mod.ts";`,
      resolveDir: fileURLToPath(new URL("..", import.meta.url)),
    },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    define,
    metafile: true,
    write: false,
    logLevel: "silent",
  });
  const { contents, text } = outputFiles[0]!;
  return {
    text,
    metafile,
    warnings,
    minified: contents.length,
    gzipped: gzipSync(contents, { level: 9 }).length,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const names of ["*", EVERYDAY, "{ write }", "{ readStream }", "{ category }"]) {
    const { minified, gzipped } = await bundle(names);
    console.log(`${names}: ${minified} bytes minified, ${gzipped} gzipped`);
  }
}
