import { fileURLToPath } from "node:url";

/** The path of a file of the repository. */
export function pathOf(file: string): string {
  return fileURLToPath(new URL(`../${file}`, import.meta.url));
}
