import { Refusal } from "./_problem.ts";

/** Milliseconds that a request may take to bring its body. */
const TIME_LIMIT = 10_000;

/** How deep arrays and objects may be nested: far less than what Postgres's and any runtime's stack take. */
const DEPTH_LIMIT = 500;

/** What comes after a body that was given up is not read. */
const CLOSE = { connection: "close" };

/** A page of another origin cannot send this content type without being asked whether it may. */
export function checkJson({ headers }: Request): void {
  if (/^application\/json\s*(;|$)/i.test(headers.get("content-type") ?? "")) return;
  throw new Refusal(415, "Cannot read this body: send it as content-type application/json");
}

/** Reads a request's body as JSON, and no more of it than is allowed. */
export async function readJson(request: Request, maxBytes: number): Promise<unknown> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    throw new Refusal(
      415,
      `Cannot read a body of content-encoding "${encoding}": send it as it is`,
    );
  }
  const bytes = await readBytes(request, maxBytes);
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new Refusal(400, "Cannot read this body: it is not UTF-8");
  }
  return parseJson("this body", text);
}

/** Parses JSON that a client sent; refuses what other parts could not take, or would change. */
export function parseJson(name: string, text: string): unknown {
  checkStructure(name, text);
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, `Cannot read ${name}: it is not JSON`);
  }
}

async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const length = request.headers.get("content-length");
  if (Number(length) > maxBytes) throw tooLarge(maxBytes);

  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let timer;
  const deadline = new Promise<never>((_, reject) => {
    const detail = `Cannot read this body: it did not come within ${TIME_LIMIT} ms`;
    timer = setTimeout(() => reject(new Refusal(408, detail, {}, CLOSE)), TIME_LIMIT);
  });
  try {
    if (length !== null) {
      // Adaptors of Node's server are slow to make a stream of it.
      const whole = await Promise.race([request.arrayBuffer(), deadline]);
      if (whole.byteLength > maxBytes) throw tooLarge(maxBytes);
      return new Uint8Array(whole);
    }
    if (request.body === null) return new Uint8Array();
    reader = request.body.getReader();
    const chunks: Uint8Array[] = [];
    let size = 0;
    while (true) {
      const { done, value } = await Promise.race([reader.read(), deadline]);
      if (done) return concat(chunks, size);
      size += value.byteLength;
      if (size > maxBytes) throw tooLarge(maxBytes);
      chunks.push(value);
    }
  } catch (error) {
    // Not awaited: a client that sends nothing more does not hold up the answer.
    reader?.cancel(error).catch(() => {});
    if (error instanceof Refusal) throw error;
    throw new Refusal(400, "Cannot read this body: it broke off");
  } finally {
    clearTimeout(timer);
  }
}

function tooLarge(maxBytes: number): Refusal {
  const detail = `Cannot read this body: it is larger than ${maxBytes} bytes`;
  return new Refusal(413, detail, { maxBytes }, CLOSE);
}

function concat(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

const NUMBER = /\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/** Goes by character: a regular expression for strings can be made to crawl. */
function checkStructure(name: string, text: string): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') {
      at = endOfString(text, at);
    } else if (character === "[" || character === "{") {
      if (++depth > DEPTH_LIMIT) {
        throw new Refusal(
          400,
          `Cannot read ${name}: it is nested deeper than ${DEPTH_LIMIT} levels`,
        );
      }
    } else if (character === "]" || character === "}") {
      depth--;
    } else if (character >= "0" && character <= "9") {
      NUMBER.lastIndex = at;
      const [number] = NUMBER.exec(text)!;
      if (!isKept(number)) {
        throw new Refusal(422, `Cannot keep the number ${number.slice(0, 40)}: write it as text`);
      }
      at += number.length - 1;
    }
  }
}

function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}

/** Whether JavaScript writes the same digits as were sent. Those of a fraction are the nearest, everywhere. */
function isKept(text: string): boolean {
  const number = Number(text);
  if (number !== 0 && Number.isFinite(number)) {
    if (text.length < 16 || !Number.isInteger(number)) return true;
  }
  return digitsOf(String(number)) === digitsOf(text);
}

function digitsOf(number: string): string {
  const [digits] = number.replace(".", "").split(/e/i);
  return digits!.replace(/^0+/, "").replace(/0+$/, "");
}
