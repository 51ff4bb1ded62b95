import { defineConfig, type Options } from "tsup";

const config: Options = {
  entry: {
    mod: "mod.ts",
    fetch: "src/http/fetch_sql.ts",
    gateway: "src/http/gateway.ts",
    install: "src/database/install.ts",
    embedded: "src/database/embedded.ts",
  },
  format: "esm",
  target: "es2022",
  platform: "neutral",
  external: [/^node:/],
  // Workers and Deno know the built-in modules by their full names only.
  removeNodeProtocol: false,
  // A file an entry, which a reader can follow; no map, since nothing is minified.
  splitting: false,
  dts: true,
  clean: true,
};

export default defineConfig(config) as Options;
