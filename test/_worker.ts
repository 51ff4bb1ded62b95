import { build } from "esbuild";
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
  const { outputFiles: [worker] } = await build({
    entryPoints: [path],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    conditions: ["workerd", "worker", "browser"],
    external: ["node:*", "cloudflare:*"],
  });
  return new Miniflare({
    modules: true,
    script: worker!.text,
    compatibilityDate: "2026-04-01",
    compatibilityFlags: ["nodejs_compat"],
    bindings: {
      ...texts,
      ...connectionString && { HYPERDRIVE: { connectionString } },
    },
  });
}
