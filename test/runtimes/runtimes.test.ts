import { describeSuite } from "./_describe_suite.ts";
import { startNeonBridge } from "./neon_bridge.ts";

for (const runtime of ["Node", "Deno", "Bun", "workerd"] as const) {
  describeSuite(`postgres.js on ${runtime}`, runtime, (databases) => ({
    driver: "postgres.js",
    ...databases,
  }));
}

describeSuite("Bun's SQL", "Bun", (databases) => ({ driver: "Bun's SQL", ...databases }));

describeSuite("pg through fromQuery() on Node", "Node", (databases) => ({
  driver: "pg",
  ...databases,
}));

describeSuite("PGlite on Node", "Node", (databases) => ({ driver: "PGlite", ...databases }));

for (const runtime of ["Node", "workerd"] as const) {
  describeSuite(`neon() on ${runtime}`, runtime, async (databases, after) => {
    const { endpoint, close } = await startNeonBridge();
    after(close);
    return { driver: "neon()", endpoint, ...databases };
  });
}
