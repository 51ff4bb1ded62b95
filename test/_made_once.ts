import { mkdir, rename, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { until } from "./_until.ts";

/**
 * Makes a folder that all test files share: the first of them that asks for it makes it, and the others wait.
 *
 * @param name The name of the folder.
 * @param place Whose packages what is in the folder finds: those of the repository, or of the tests as well.
 * @param make Fills the folder.
 * @returns The folder.
 */
export async function madeOnce(
  name: string,
  place: "root" | "test",
  make: (folder: string) => Promise<unknown>,
): Promise<string> {
  const made = join(inject("madeFolders")[place], name);
  const draft = `${made}.draft`;
  await until(async () => {
    if (existsSync(made)) return true;
    // A test file that fails to make the folder leaves that to the next one.
    const isOurs = await mkdir(draft).then(() => true, () => false);
    if (!isOurs) return false;
    try {
      // Made meanwhile, by the file that had the draft before.
      if (existsSync(made)) return true;
      await make(draft);
      await rename(draft, made);
      return true;
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
  });
  return made;
}
