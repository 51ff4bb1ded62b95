import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";
import { FILES_AT_ONCE } from "./test/_server.ts";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^@messagedb\/client$/, replacement: here("mod.ts") },
      { find: /^@messagedb\/client\/fetch$/, replacement: here("src/http/fetch_sql.ts") },
      { find: /^@messagedb\/client\/gateway$/, replacement: here("src/http/gateway.ts") },
      { find: /^@messagedb\/client\/install$/, replacement: here("src/database/install.ts") },
      { find: /^@messagedb\/client\/embedded$/, replacement: here("src/database/embedded.ts") },
      { find: /^@messagedb\/client\/operate$/, replacement: here("src/operate/mod.ts") },
      { find: /^@messagedb\/client\/studio$/, replacement: here("src/studio/studio.ts") },
      { find: /^@messagedb\/client\/otel$/, replacement: here("src/otel/mod.ts") },
      { find: /^@messagedb\/client\/testing$/, replacement: here("src/testing/mod.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/setup.ts",
    // No test is about its time: these end what hangs.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    maxWorkers: FILES_AT_ONCE,
    // A thread for each file: it has modules of its own, as a process has, and starts in less.
    pool: "threads",
    typecheck: {
      enabled: true,
      include: ["test/**/*.test-d.ts"],
      tsconfig: "test/tsconfig.types.json",
    },
  },
});

export default config;
