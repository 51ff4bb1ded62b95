import { chromium } from "../_browser.ts";
import { describeSkipped } from "../_describe_skipped.ts";
import { describeSuite } from "./_describe_suite.ts";

// What runs the suite starts the gateways, too: in its own runtime, or on Node where it has no server.
for (const runtime of ["Node", "Deno", "Bun", "workerd", "edge-runtime", "Chromium"] as const) {
  const title = `fetchSql() on ${runtime}`;
  if (runtime === "Chromium" && chromium === undefined) {
    describeSkipped(title, "Chromium is not installed");
  } else {
    describeSuite(title, runtime, (databases) => ({ driver: "fetchSql", ...databases }));
  }
}

describeSuite("neon() over a gateway on Node", "Node", (databases) => ({
  driver: "neon()",
  ...databases,
}));
