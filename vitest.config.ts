import { fileURLToPath } from "node:url";
import { defineConfig, type ViteUserConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const config: ViteUserConfig = defineConfig({
  resolve: {
    alias: [
      { find: /^@messagedb\/client$/, replacement: here("mod.ts") },
      { find: /^@messagedb\/client\/fetch$/, replacement: here("src/http/fetch_sql.ts") },
      { find: /^@messagedb\/client\/gateway$/, replacement: here("src/http/gateway.ts") },
      { find: /^@messagedb\/client\/install$/, replacement: here("src/database/install.ts") },
      { find: /^@messagedb\/client\/embedded$/, replacement: here("src/database/embedded.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/setup.ts",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    typecheck: { enabled: true, include: ["test/**/*.test-d.ts"], tsconfig: "tsconfig.json" },
  },
});

export default config;
