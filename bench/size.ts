/** `npm run size`: what the core, single imports from it and fetchSql add to a bundle for browsers. */
import { build, type BuildResult, type Metafile } from "esbuild";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** What most programs take. */
export const EVERYDAY = "{ write, writeBatch, readStream, readCategory, streamVersion }";

/** The module of `fetchSql`. */
export const FETCH = "src/http/fetch_sql.ts";

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
 * Bundles for browsers what a program takes from a module.
 *
 * @param names `*`, or names in braces.
 * @param module The core, unless it is another.
 * @param define Expressions to put something else for.
 */
export async function bundle(
  names: string,
  module = "mod.ts",
  define: Readonly<Record<string, string>> = {},
): Promise<Bundle> {
  const { outputFiles, metafile, warnings } = await build({
    stdin: {
      contents: `export ${names} from "./${module}";`,
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
    report(names, await bundle(names));
  }
  report(FETCH, await bundle("*", FETCH));
}

function report(what: string, { minified, gzipped }: Bundle): void {
  console.log(`${what}: ${minified} bytes minified, ${gzipped} gzipped`);
}
