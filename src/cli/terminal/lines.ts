import { Buffer } from "node:buffer";
import { open } from "node:fs/promises";
import process from "node:process";
import { addAbortSignal, type Readable } from "node:stream";
import { badUse, CommandError } from "./exit_code.ts";
import { fileProblem, isSystemError } from "./file_problem.ts";

/** Lines of a file, or of standard input, which are read as they are asked for. */
export interface Lines extends AsyncIterable<string> {
  /** What to call them: `the file "store.ndjson"`. */
  readonly name: string;
  /** How much of the file is read, from 0 to 1; undefined for standard input. */
  readonly share: number | undefined;
  /** The number of the last line, if the text ended without an end of that line; else undefined. */
  readonly cutAt: number | undefined;
}

/** PostgreSQL holds no JSON that is longer. */
const LONGEST_LINE = 0x10000000;
const LINE_FEED = 10;

/** Opens a file, or standard input (`-`), as lines that end at a line feed. */
export async function openLines(path: string, signal: AbortSignal): Promise<Lines> {
  const { stream, size } = await openStream(path);
  addAbortSignal(signal, stream);
  const name = path === "-" ? "standard input" : `the file "${path}"`;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let read = 0;
  let number = 0;
  let cutAt: number | undefined;
  const decode = (bytes: Uint8Array): string => {
    number++;
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw new CommandError(`Line ${number} of ${name} is not UTF-8 text`, undefined, { cause });
    }
  };
  async function* lines(): AsyncGenerator<string> {
    let rest: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      if (read === 0) checkStart(chunk, path, name);
      read += chunk.length;
      let from = 0;
      for (let to; (to = chunk.indexOf(LINE_FEED, from)) !== -1; from = to + 1) {
        const part = chunk.subarray(from, to);
        yield decode(length === 0 ? part : Buffer.concat([...rest, part]));
        rest = [];
        length = 0;
      }
      rest.push(chunk.subarray(from));
      length += chunk.length - from;
      if (length > LONGEST_LINE) {
        throw new CommandError(`Line ${number + 1} of ${name} is too long for a message`);
      }
    }
    if (read === 0) throw badUse(`${sentenceOf(name)} is empty: an export that failed leaves that`);
    if (length === 0) return;
    cutAt = number + 1;
    yield decode(Buffer.concat(rest));
  }
  return {
    name,
    get share() {
      return size === undefined ? undefined : read / size;
    },
    get cutAt() {
      return cutAt;
    },
    async *[Symbol.asyncIterator]() {
      try {
        yield* lines();
      } catch (error) {
        signal.throwIfAborted();
        if (!isSystemError(error)) throw error;
        throw new CommandError(`Cannot read ${name}: ${fileProblem(error)}`);
      }
    },
  };
}

async function openStream(path: string): Promise<{ stream: Readable; size: number | undefined }> {
  if (path === "-") return { stream: process.stdin, size: undefined };
  try {
    const handle = await open(path);
    const stats = await handle.stat();
    if (stats.isDirectory()) {
      await handle.close();
      throw badUse(`Cannot read the file "${path}": it is a folder`);
    }
    const stream = handle.createReadStream({ highWaterMark: 0x40000 });
    return { stream, size: stats.isFile() ? stats.size : undefined };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw badUse(`Cannot read the file "${path}": ${fileProblem(error)}`);
  }
}

/** What is no NDJSON is often told by its first bytes. */
function checkStart(chunk: Uint8Array, path: string, name: string): void {
  const [first, second] = chunk;
  if (first === 0x1f && second === 0x8b) {
    throw badUse(
      `${sentenceOf(name)} is compressed: run gunzip -c ${
        path === "-" ? "before" : `${path} | messagedb import -`
      }`,
    );
  }
  if (first === 0xff && second === 0xfe) {
    throw badUse(
      `${sentenceOf(name)} is UTF-16, as a PowerShell writes it: export with --output instead`,
    );
  }
}

function sentenceOf(name: string): string {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
