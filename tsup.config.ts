import { defineConfig, type Options } from "tsup";

const config: Options = {
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
  clean: true,
};

export default defineConfig(config) as Options;
