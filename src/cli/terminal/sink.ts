import { Buffer } from "node:buffer";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import process from "node:process";
import { badUse, CommandError } from "./exit_code.ts";
import { fileProblem, isSystemError } from "./file_problem.ts";

/** Where much text is written to, piece by piece. */
export interface Sink {
  /** Writes text, once the text before is written. */
  write(text: string): Promise<void>;
  /** Ends what is whole: gives a file its name. */
  finish(): Promise<void>;
  /** Closes the file, whole or not. */
  close(): Promise<void>;
}

/** Standard output. Here nobody who reads on is a failure, as for all that has to be whole. */
export function openStdout(): Sink {
  const { stdout } = process;
  stdout.removeAllListeners("error");
  stdout.on("error", () => {});
  return {
    async write(text) {
      try {
        await new Promise<void>((resolve, reject) => {
          stdout.write(text, (error) => error ? reject(error) : resolve());
        });
      } catch (error) {
        const problem = fileProblem(error as NodeJS.ErrnoException);
        throw new CommandError(
          `Cannot write to standard output: ${problem}. The last line may be cut: export again`,
        );
      }
    },
    finish: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}

/** A file that has its name once it is whole, and a name of its own before. */
export interface PartFile extends Sink {
  /** The last whole line that was there before; undefined for none. */
  readonly lastLine: string | undefined;
}

/** Opens the part of a file: a new one, or the one that is there, behind its last whole line. */
export async function openPart(
  path: string,
  { resume }: { readonly resume: boolean },
): Promise<PartFile> {
  const part = `${path}.part`;
  if (await isPresent(path)) {
    throw badUse(`The file "${path}" is there already: give another name, or delete it`);
  }
  if (!resume && await isPresent(part)) {
    throw badUse(
      `The file "${part}" is there, of an export that was cut short: go on with --resume, or delete it`,
    );
  }
  const file = await openFile(part, resume ? "r+" : "wx");
  const { lastLine, end } = await findEnd(file);
  await file.truncate(end);
  let at = end;
  return {
    lastLine,
    async write(text) {
      const bytes = Buffer.from(text);
      try {
        for (let from = 0; from < bytes.length;) {
          const { bytesWritten } = await file.write(bytes, from, bytes.length - from, at);
          from += bytesWritten;
          at += bytesWritten;
        }
      } catch (error) {
        if (!isSystemError(error)) throw error;
        throw new CommandError(`Cannot write the file "${part}": ${fileProblem(error)}`);
      }
    },
    async finish() {
      await file.sync();
      await rename(part, path);
    },
    async close() {
      await file.close();
      // A part with nothing in it would only be in the way of the next export.
      if (at === 0) await rm(part, { force: true });
    },
  };
}

async function isPresent(path: string): Promise<boolean> {
  return await stat(path).then(() => true, () => false);
}

async function openFile(path: string, flags: string): Promise<FileHandle> {
  return await open(path, flags).catch((error: NodeJS.ErrnoException) => {
    throw badUse(
      flags === "wx"
        ? `Cannot write the file "${path}": ${fileProblem(error)}`
        : `Cannot go on with the file "${path}": ${fileProblem(error)}`,
    );
  });
}

/** Finds the last whole line of a file, and where that line ends. */
async function findEnd(
  file: FileHandle,
): Promise<{ readonly lastLine: string | undefined; readonly end: number }> {
  const { size } = await file.stat();
  for (let length = 0x10000;; length *= 2) {
    const from = Math.max(0, size - length);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    const tail = buffer.subarray(0, bytesRead);
    const last = tail.lastIndexOf("\n");
    const before = last <= 0 ? -1 : tail.lastIndexOf("\n", last - 1);
    if (before === -1 && from > 0) continue;
    if (last === -1) return { lastLine: undefined, end: 0 };
    return { lastLine: tail.subarray(before + 1, last).toString(), end: from + last + 1 };
  }
}
