import { chmodSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";
import process from "node:process";

const FOLDER = "/dev/shm";

/** Bytes: a gigabyte for the log of changes of each server that may run at once, and for what is built. */
const ROOM = 6 * 2 ** 30;

/**
 * Puts the temporary files of the tests into memory, where Linux has a folder for that and there is room: the
 * databases of the embedded server among them. A database is 300 files, and each test file makes its own: some file
 * systems take longer for that than the tests take for the rest.
 *
 * @returns What removes them.
 */
export function keepTemporaryFilesInMemory(): () => void {
  if (process.env["TMPDIR"] !== undefined || !isUsable()) return () => {};
  const folder = mkdtempSync(join(FOLDER, "messagedb-client-"));
  // For the user of the servers, too.
  chmodSync(folder, 0o1777);
  process.env["TMPDIR"] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}

/** The tests run programs from there, too. */
function isUsable(): boolean {
  try {
    const mounts = readFileSync("/proc/mounts", "utf8").split("\n").map((line) => line.split(" "));
    const options = mounts.findLast(([, folder]) => folder === FOLDER)?.[3]?.split(",");
    if (options === undefined || options.includes("noexec") || options.includes("ro")) return false;
    const { bavail, bsize } = statfsSync(FOLDER);
    return Math.min(bavail * bsize, freemem()) > ROOM;
  } catch {
    return false;
  }
}
