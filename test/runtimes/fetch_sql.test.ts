import { describeSuite } from "./_describe_suite.ts";

// What runs the suite starts the gateways, too: in its own runtime.
for (const runtime of ["Node", "Deno", "Bun", "workerd"] as const) {
  describeSuite(`fetchSql() on ${runtime}`, runtime, (databases) => ({
    driver: "fetchSql",
    ...databases,
  }));
}
