/**
 * What `npx` is for dev.js of docs/start/cloudflare-workers.md: `wrangler dev`, as far as the page needs it.
 * It runs the Worker that wrangler.jsonc describes, on the port in WRANGLER_PORT.
 */
import { Miniflare } from "miniflare";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import ts from "typescript";
import { bundleWorker } from "../_worker.ts";

interface WranglerConfig {
  readonly main: string;
  readonly compatibility_date: string;
  readonly compatibility_flags: string[];
  readonly hyperdrive: readonly { readonly binding: string }[];
}

const { config, error } = ts.parseConfigFileTextToJson(
  "wrangler.jsonc",
  readFileSync("wrangler.jsonc", "utf8"),
);
if (error) throw new Error(ts.flattenDiagnosticMessageText(error.messageText, "\n"));
const { main, compatibility_date, compatibility_flags, hyperdrive } = config as WranglerConfig;

const addressOf = (binding: string) =>
  process.env[`CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_${binding}`]!;

const worker = new Miniflare({
  modules: true,
  script: await bundleWorker({ entryPoints: [resolve(main)] }),
  compatibilityDate: compatibility_date,
  compatibilityFlags: compatibility_flags,
  hyperdrives: Object.fromEntries(hyperdrive.map(({ binding }) => [binding, addressOf(binding)])),
  host: "127.0.0.1",
  port: Number(process.env["WRANGLER_PORT"]),
  unsafeTriggerHandlers: true,
});
await worker.ready;
