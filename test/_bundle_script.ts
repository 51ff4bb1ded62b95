import { build } from "esbuild";
import { fileURLToPath } from "node:url";

/** A script for runtimes with no modules of Node, which leaves what a file exports in a variable. */
export async function bundleScript(path: string, variable: string): Promise<string> {
  const { outputFiles: [script] } = await build({
    entryPoints: [path],
    bundle: true,
    write: false,
    format: "iife",
    globalName: variable,
    target: "es2022",
    alias: {
      "node:assert/strict": fileURLToPath(new URL("runtimes/_assert.ts", import.meta.url)),
    },
  });
  return script!.text;
}
