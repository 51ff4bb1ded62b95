/**
 * Runs the suite on workerd, the runtime of Cloudflare Workers, with the settings given as JSON in
 * the first argument, and prints each outcome as a line of JSON.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { startWorker } from "../_worker.ts";
import { startGatewayWorkers } from "./_gateway_workers.ts";
import type { Settings } from "./environment.ts";
import { suite } from "./suite.ts";
import type { WorkerRequest } from "./worker.ts";

const settings: Settings = JSON.parse(process.argv[2]!);
const gateways = settings.driver === "fetchSql" ? await startGatewayWorkers(settings) : undefined;
const miniflare = await startWorker(fileURLToPath(new URL("worker.ts", import.meta.url)));

for (const name of suite) {
  const request: WorkerRequest = { name, settings: gateways?.addresses ?? settings };
  const response = await miniflare.dispatchFetch("http://worker/", {
    method: "POST",
    body: JSON.stringify(request),
  });
  const answer = await response.text();
  console.log(response.ok ? answer : JSON.stringify({ name, error: answer }));
}
await miniflare.dispose();
await gateways?.stop();
