import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Options } from "tsup";

type Plugin = NonNullable<Options["esbuildPlugins"]>[number];

const entries = {
  mod: "mod.ts",
  fetch: "src/http/fetch_sql.ts",
  gateway: "src/http/gateway.ts",
  install: "src/database/install.ts",
  embedded: "src/database/embedded.ts",
  operate: "src/operate/mod.ts",
  studio: "src/studio/studio.ts",
  testing: "src/testing/mod.ts",
};

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
};

/** Writes the licenses of all packages that are in the bundle beside it: most of them ask for that. */
const licenses: Plugin = {
  name: "licenses",
  setup({ initialOptions, onEnd }) {
    initialOptions.metafile = true;
    onEnd(({ metafile }) => {
      const paths = Object.values(metafile?.outputs ?? {}).flatMap(({ inputs }) =>
        Object.keys(inputs).filter((path) => inputs[path]!.bytesInOutput > 0)
      );
      const found = paths.map((path) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
      const folders = [...new Set(found)].filter((folder) => folder !== undefined);
      const text = folders.sort().map(licenseOf).join("\n");
      const title = "# Licenses of the packages that the command line has inside\n\n";
      mkdirSync(initialOptions.outdir!, { recursive: true });
      writeFileSync(join(initialOptions.outdir!, "LICENSES.md"), title + text);
    });
  },
};

function licenseOf(folder: string): string {
  const { name, version, license, author } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8"),
  );
  const file = readdirSync(folder).find((it) => /^licen[cs]e/i.test(it));
  // Where a package has no file, its license is the one that it names, of the author that it names.
  const text = file === undefined
    ? license === "MIT"
      ? readFileSync("LICENSE", "utf8").replace(/^Copyright.*$/m, `Copyright (c) ${author}`)
      : `License: ${license}. Author: ${author}.`
    : readFileSync(join(folder, file), "utf8");
  return `## ${name} ${version}\n\n${text.trim()}\n`;
}

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
  esbuildPlugins: [licenses, {
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
