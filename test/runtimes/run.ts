/**
 * Runs the suite on Node, Deno or Bun, with the settings given as JSON in the first argument, and
 * prints each outcome as a line of JSON.
 */
import process from "node:process";
import type { Environment, Settings } from "./environment.ts";
import { run, suite } from "./suite.ts";

const settings: Settings = JSON.parse(process.argv[2]!);
const connected = await connect(settings);
const environment = settings.traced
  ? (await import("./_traced.ts")).traceAll(connected)
  : connected;
for (const name of suite) {
  console.log(JSON.stringify(await run(name, environment)));
}
await environment.close();

async function connect(settings: Settings): Promise<Environment> {
  switch (settings.driver) {
    case "postgres.js":
      return (await import("./_postgres_js.ts")).connect(settings);
    case "partitions":
      return (await import("./_partitions.ts")).connect(settings);
    case "Bun's SQL":
      return (await import("./_bun_sql.ts")).connect(settings);
    case "neon()": {
      const { connect, connectToGateways } = await import("./_neon.ts");
      return settings.endpoint
        ? connect(settings)
        : await overGateways(settings, connectToGateways);
    }
    case "PGlite":
      return await (await import("./_pglite.ts")).connect();
    case "pg":
      return (await import("./_pg.ts")).connect(settings);
    case "fetchSql":
      return await overGateways(settings, (await import("./_fetch_sql.ts")).connect);
  }
}

async function overGateways(
  settings: Settings,
  connect: (addresses: Settings) => Environment,
): Promise<Environment> {
  const { startGateways } = await import("./_gateway_server.ts");
  const { addresses, stop } = await startGateways(settings);
  return { ...connect(addresses), close: stop };
}
