import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Options } from "tsup";
import { licensesOf } from "./licenses.config.ts";
import { ASSETS, PAGE } from "./src/studio/_assets.ts";

type Plugin = NonNullable<Options["esbuildPlugins"]>[number];

const entries = {
  mod: "mod.ts",
  fetch: "src/http/fetch_sql.ts",
  gateway: "src/http/gateway.ts",
  install: "src/database/install.ts",
  embedded: "src/database/embedded.ts",
  operate: "src/operate/mod.ts",
  studio: "src/studio/studio.ts",
  otel: "src/otel/mod.ts",
  testing: "src/testing/mod.ts",
};

/** Writes the licenses of the packages that a bundle has inside beside it. */
function licenses(what: string, find: (bundled: readonly string[]) => string): Plugin {
  return {
    name: "licenses",
    setup({ initialOptions, onEnd }) {
      initialOptions.metafile = true;
      onEnd(({ metafile }) => {
        const bundled = Object.values(metafile?.outputs ?? {}).flatMap(({ inputs }) =>
          Object.keys(inputs).filter((path) => inputs[path]!.bytesInOutput > 0)
        );
        const title = `# Licenses of the packages that ${what} has inside\n\n`;
        mkdirSync(initialOptions.outdir!, { recursive: true });
        writeFileSync(join(initialOptions.outdir!, "LICENSES.md"), title + find(bundled));
      });
    },
  };
}

/** What programs import. */
export const library: Options = {
  // A module without an entry of its own: `testing` imports it by a path that bundlers do not follow.
  entry: { ...entries, _test_database: "src/testing/_test_database.ts" },
  format: "esm",
  target: "es2022",
  platform: "neutral",
  external: [/^node:/],
  // Workers and Deno know the built-in modules by their full names only.
  removeNodeProtocol: false,
  // What two entries share is in one place: an error's class is the same from both.
  splitting: true,
  dts: { entry: entries },
  clean: ["!dist/cli"],
  // The page is text in a module, so its packages are none of the bundle's inputs.
  esbuildPlugins: [licenses("the page of the studio", () => ASSETS[PAGE.licenses]!.text)],
};

/** The command line: with all that it needs but the library, which it imports as a user does. */
export const cli: Options = {
  entry: { messagedb: "src/cli/messagedb.ts" },
  outDir: "dist/cli",
  format: "esm",
  target: "es2022",
  platform: "node",
  noExternal: [/.*/],
  removeNodeProtocol: false,
  splitting: true,
  clean: true,
  // commander is CommonJS, and requires modules of Node.
  banner: {
    js:
      'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
  },
  esbuildPlugins: [licenses("the command line", licensesOf), {
    name: "library",
    setup(build) {
      build.onResolve({ filter: /^@messagedb\/client/ }, ({ path }) => ({
        path: `../${path.split("/")[2] ?? "mod"}.js`,
        external: true,
      }));
    },
  }],
};

export default defineConfig([library, cli]) as Options[];
