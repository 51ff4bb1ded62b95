/**
 * `npm run size`: what the core, single imports from it and fetchSql add to a bundle for browsers, and what
 * each part of the core is for.
 */
import { build, type BuildResult, type Metafile } from "esbuild";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { table } from "./_compare.ts";

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

/** A part of a bundle of the core. */
export interface Part {
  /** The functions that alone need it, or what it is, if more than four files of functions do. */
  readonly what: string;
  /** In bytes. */
  readonly minified: number;
  /** Its share of the bundle, gzipped, in bytes: the part is taken to shrink as the whole does. */
  readonly gzipped: number;
}

/** What a wing has that many functions need. */
const SHARED: Readonly<Record<string, string>> = {
  "errors.ts": "the errors",
  lib: "waiting, retrying, reading ahead, hashes",
  names: "names, and the check of arguments",
  handle: "statements, transactions, and the errors of drivers",
  messages: "messages to JSON and back",
  read: "pages of streams, categories and all messages, gaps, positions",
  write: "batches of a stream or several",
  subscribe: "following",
};

/**
 * What each part of a bundle of all that the core exports is for, the largest first.
 *
 * @param least The bytes, minified, of a part that is not put together with all that are smaller.
 */
export function partsOf({ metafile, minified, gzipped }: Bundle, least: number): Part[] {
  const functions = functionsOfFiles();
  const users = new Map<string, string[]>();
  for (const entry of functions.keys()) {
    for (const path of importedFrom(entry, metafile)) {
      users.set(path, [...users.get(path) ?? [], entry]);
    }
  }
  const sizes = new Map<string, number>();
  const add = (what: string, bytes: number) => sizes.set(what, (sizes.get(what) ?? 0) + bytes);
  const [output] = Object.values(metafile.outputs);
  let rest = minified;
  for (const [path, { bytesInOutput }] of Object.entries(output!.inputs)) {
    if (bytesInOutput === 0) continue;
    const shared = SHARED[path.split("/")[1]!];
    const entries = functions.has(path) && path !== "src/errors.ts" ? [path] : users.get(path)!;
    const names = entries.flatMap((entry) => functions.get(entry)!).map((name) => `\`${name}\``);
    add(entries.length > 4 && shared || names.join(", "), bytesInOutput);
    rest -= bytesInOutput;
  }
  const parts = [...sizes].filter(([, bytes]) => bytes >= least).sort(([, a], [, b]) => b - a);
  const small = [...sizes.values()].filter((bytes) => bytes < least);
  const sum = small.reduce((sum, bytes) => sum + bytes, rest);
  return [...parts, ["smaller parts, and the names of all that is exported", sum] as const]
    .map(([what, bytes]) => ({ what, minified: bytes, gzipped: bytes * gzipped / minified }));
}

/** The names of the functions that each file gives to the core. */
function functionsOfFiles(): Map<string, string[]> {
  const text = readFileSync(fileURLToPath(new URL("../mod.ts", import.meta.url)), "utf8");
  const functions = new Map<string, string[]>();
  for (const [, list, path] of text.matchAll(/^export \{([^}]*)\} from "\.\/(.*)";/gm)) {
    const names = list!.split(",").map((name) => name.trim()).filter((name) => /^[a-z]/.test(name))
      .filter((name) => !name.startsWith("type "));
    if (names.length) functions.set(path!, [...functions.get(path!) ?? [], ...names]);
  }
  return functions;
}

/** A file, and all that it imports. */
function importedFrom(path: string, metafile: Metafile, found = new Set<string>()): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  for (const it of metafile.inputs[path]?.imports ?? []) importedFrom(it.path, metafile, found);
  return found;
}

/** The part of docs/benchmarks.md that says what each kilobyte is for. */
export function sizeMarkdown(bundle: Bundle): string {
  const rows = partsOf(bundle, 1000).map(({ what, minified, gzipped }) =>
    `| ${what} | ${kilobytes(minified)} | ${kilobytes(gzipped)} |`
  );
  return `<!-- deno-fmt-ignore-start -->

| For | kB minified | kB gzipped |
| --- | --: | --: |
${rows.join("\n")}
| **all** | ${kilobytes(bundle.minified)} | ${kilobytes(bundle.gzipped)} |

<!-- deno-fmt-ignore-end -->
`;
}

function kilobytes(bytes: number): string {
  return (bytes / 1000).toFixed(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const names of ["*", EVERYDAY, "{ write }", "{ readStream }", "{ category }"]) {
    report(names, await bundle(names));
  }
  report(FETCH, await bundle("*", FETCH));
  const rows = partsOf(await bundle("*"), 500).map(({ what, minified, gzipped }) => [
    what.replaceAll("`", ""),
    kilobytes(minified),
    kilobytes(gzipped),
  ]);
  console.log(`\n${table([["*, for", "kB minified", "kB gzipped"], ...rows])}`);
}

function report(what: string, { minified, gzipped }: Bundle): void {
  console.log(`${what}: ${minified} bytes minified, ${gzipped} gzipped`);
}
