import { fileURLToPath } from "node:url";
import { startWorker } from "../_worker.ts";
import type { Gateways } from "./_gateway_server.ts";
import type { Settings } from "./environment.ts";

/** Starts gateways over the databases of the settings, on workerd. */
export async function startGatewayWorkers(settings: Settings): Promise<Gateways> {
  const path = fileURLToPath(new URL("gateway_worker.ts", import.meta.url));
  const [gateway, bare] = await Promise.all([
    startWorker(path, settings.url),
    startWorker(path, settings.bareUrl),
  ]);
  return {
    addresses: {
      ...settings,
      url: new URL("/sql", await gateway.ready).href,
      bareUrl: new URL("/sql", await bare.ready).href,
    },
    stop: async () => {
      await Promise.all([gateway.dispose(), bare.dispose()]);
    },
  };
}
