import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { badUse, CommandError, EXIT_CODE } from "./exit_code.ts";

/** What a module exports, by its names. */
export async function loadModule(file: string): Promise<Readonly<Record<string, unknown>>> {
  const path = resolve(file);
  if (!existsSync(path)) throw badUse(`Cannot read the module "${file}": there is no such file`);
  return await import(pathToFileURL(path).href).catch((error) => {
    throw new CommandError(`Cannot load the module "${file}": ${error.message}`, EXIT_CODE.badUse, {
      cause: error,
    });
  });
}

/** The default export of a module. */
export async function loadDefault<Exported = unknown>(file: string): Promise<Exported> {
  return (await loadModule(file))["default"] as Exported;
}
