import { statSync } from "node:fs";
import { join } from "node:path";

/** Whether npm has installed a folder's packages since their lock file last changed. */
export function isInstalled(folder: string): boolean {
  const modified = (path: string): number =>
    statSync(join(folder, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return modified("node_modules/.package-lock.json") > modified("package-lock.json");
}
