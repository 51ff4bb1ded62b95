/**
 * Runs the suite in `edge-runtime`, which has Vercel's Edge APIs and no sockets, over gateways on
 * Node, with the settings given as JSON in the first argument, and prints each outcome as a line of
 * JSON.
 */
import { EdgeRuntime } from "edge-runtime";
import process from "node:process";
import { startGateways } from "./_gateway_server.ts";
import { runBundled } from "./_run_bundled.ts";

const { addresses, stop } = await startGateways(JSON.parse(process.argv[2]!));
const runtime = new EdgeRuntime();
const evaluate = (script: string): Promise<unknown> => runtime.evaluate(script);
await runBundled({ load: evaluate, evaluate }, addresses);
await stop();
