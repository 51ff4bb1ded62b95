/**
 * Runs the suite in a page of Chromium, over gateways of another origin on Node, with the settings
 * given as JSON in the first argument, and prints each outcome as a line of JSON.
 */
import process from "node:process";
import { openPage } from "../_browser.ts";
import { startGateways } from "./_gateway_server.ts";
import { runBundled } from "./_run_bundled.ts";

const { page, origin, close } = await openPage();
const { addresses, stop } = await startGateways(JSON.parse(process.argv[2]!), { cors: [origin] });
await runBundled({
  load: (content) => page.addScriptTag({ content }),
  evaluate: (expression) => page.evaluate(expression),
}, addresses);
await close();
await stop();
