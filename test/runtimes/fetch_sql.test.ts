import { describeSuite } from "./_describe_suite.ts";

// What runs the suite starts the gateways, too: in its own runtime, or on Node where it has no server.
for (const runtime of ["Node", "Deno", "Bun", "workerd", "edge-runtime"] as const) {
  describeSuite(`fetchSql() on ${runtime}`, runtime, (databases) => ({
    driver: "fetchSql",
    ...databases,
  }));
}
