import { defineConfig, type Options } from "tsup";

/** What programs import. */
export const library: Options = {
  entry: {
    mod: "mod.ts",
    fetch: "src/http/fetch_sql.ts",
    gateway: "src/http/gateway.ts",
    install: "src/database/install.ts",
    embedded: "src/database/embedded.ts",
    operate: "src/operate/mod.ts",
  },
  format: "esm",
  target: "es2022",
  platform: "neutral",
  external: [/^node:/],
  // Workers and Deno know the built-in modules by their full names only.
  removeNodeProtocol: false,
  // What two entries share is in one place: an error's class is the same from both.
  splitting: true,
  dts: true,
  clean: ["!dist/cli"],
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
  esbuildPlugins: [{
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
