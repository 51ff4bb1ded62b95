import { defineConfig, type Options } from "tsup";

const config: Options = {
  entry: {
    mod: "mod.ts",
    install: "src/database/install.ts",
    embedded: "src/database/embedded.ts",
  },
  format: "esm",
  target: "es2022",
  platform: "neutral",
  external: [/^node:/],
  dts: true,
  clean: true,
};

export default defineConfig(config) as Options;
