import { fileURLToPath } from "node:url";
import { bundleScript } from "../_bundle_script.ts";
import type { Settings } from "./environment.ts";
import { suite } from "./suite.ts";

/** A runtime that takes scripts. */
export interface ScriptRuntime {
  /** Runs a script as a page does. */
  load(script: string): Promise<unknown>;
  /** Resolves to what an expression's promise resolves to. */
  evaluate(expression: string): Promise<unknown>;
}

/** Runs the suite as a script and prints each outcome as a line of JSON. */
export async function runBundled(runtime: ScriptRuntime, settings: Settings): Promise<void> {
  const path = fileURLToPath(new URL("bundled.ts", import.meta.url));
  await runtime.load(await bundleScript(path, "bundled"));
  for (const name of suite) {
    const parameters = [name, settings].map((each) => JSON.stringify(each));
    console.log(JSON.stringify(await runtime.evaluate(`bundled.run(${parameters.join()})`)));
  }
}
