import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { build } from "tsup";
import { cli, library } from "../../tsup.config.ts";
import { pathOf } from "../_path_of.ts";

/** The program `messagedb`, as the package has it. */
export interface BuiltMessagedb {
  readonly path: string;
  remove(): Promise<void>;
}

/** Builds the library and the command line in a folder of their own. */
export async function buildMessagedb(): Promise<BuiltMessagedb> {
  const folder = await mkdtemp(join(pathOf("node_modules"), ".messagedb-"));
  await buildInto(folder);
  return {
    path: join(folder, "cli/messagedb.js"),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Builds the library and the command line, which is `cli/messagedb.js` of the folder. */
export async function buildInto(folder: string): Promise<void> {
  const common = { config: false, silent: true, clean: false } as const;
  await build({ ...library, ...common, dts: false, outDir: folder });
  await build({ ...cli, ...common, outDir: join(folder, "cli") });
}
