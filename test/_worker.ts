import { build, type BuildOptions } from "esbuild";
import { Miniflare } from "miniflare";

/**
 * A Worker on workerd, with the runtime's flag and, as HYPERDRIVE, a database where one is given; what
 * else its environment has are texts.
 */
export async function startWorker(
  path: string,
  connectionString?: string,
  texts: Readonly<Record<string, string>> = {},
): Promise<Miniflare> {
  return runWorker(await bundleWorker({ entryPoints: [path] }), connectionString, texts);
}

/** The script of a Worker, in one file. */
export async function bundleWorker(
  source: Pick<BuildOptions, "entryPoints" | "stdin">,
): Promise<string> {
  const { outputFiles: [worker] } = await build({
    ...source,
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    external: ["node:*", "cloudflare:*"],
  });
  return worker!.text;
}

/** As `startWorker`, of a script. */
export function runWorker(
  script: string,
  connectionString?: string,
  texts: Readonly<Record<string, string>> = {},
): Miniflare {
  return new Miniflare({
    modules: true,
    script,
    compatibilityDate: "2026-04-01",
    compatibilityFlags: ["nodejs_compat"],
    bindings: {
      ...texts,
      ...connectionString && { HYPERDRIVE: { connectionString } },
    },
  });
}
