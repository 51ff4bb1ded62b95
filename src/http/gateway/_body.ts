import { Refusal } from "./_problem.ts";

/** In milliseconds. */
const BODY_TIMEOUT = 10_000;

/** How deep arrays and objects may be nested: far less than the stacks of Postgres and of any runtime. */
const MAX_DEPTH = 500;

/**
 * How many zeros PostgreSQL may add to the numbers of a body. It writes 1e308 in full, as 309 digits: without this
 * limit, a body of 1 MiB makes a message of 50 MB, which is too large for an answer of any gateway.
 */
const MAX_ZEROS = 8_000_000;

/** The rest of a body that was given up is not read, so the connection cannot be used again. */
const CLOSE_CONNECTION = { connection: "close" };

/** The content type must be JSON, because a page of another origin needs a preflight to send that. */
export function checkContentType({ headers }: Request): void {
  if (/^application\/json\s*(;|$)/i.test(headers.get("content-type") ?? "")) return;
  throw new Refusal(415, "Cannot read this body: send it as content-type application/json");
}

/** Reads a request's body as JSON, and stops reading at the limit. */
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

/** Parses JSON that a client sent. Refuses JSON that is too deep, and numbers that would change. */
export function parseJson(name: string, text: string): unknown {
  checkDepthAndNumbers(name, text);
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, `Cannot read ${name}: it is not JSON`);
  }
}

async function readBytes(request: Request, maxBytes: number): Promise<Uint8Array> {
  const length = request.headers.get("content-length");
  if (Number(length) > maxBytes) throw tooLarge(maxBytes);

  let timer;
  const deadline = new Promise<never>((_, reject) => {
    const detail = `Cannot read this body: it did not come within ${BODY_TIMEOUT} ms`;
    timer = setTimeout(() => reject(new Refusal(408, detail, {}, CLOSE_CONNECTION)), BODY_TIMEOUT);
  });
  try {
    if (length === null) return await readChunks(request, maxBytes, deadline);
    // Not by chunks: with an adaptor for Node's server, a request is slow to make a stream of its body.
    const whole = await Promise.race([request.arrayBuffer(), deadline]);
    if (whole.byteLength > maxBytes) throw tooLarge(maxBytes);
    return new Uint8Array(whole);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(400, "Cannot read this body: it broke off");
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a body whose length the client did not say. */
async function readChunks(
  { body }: Request,
  maxBytes: number,
  deadline: Promise<never>,
): Promise<Uint8Array> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    while (true) {
      const { done, value } = await Promise.race([reader.read(), deadline]);
      if (done) return concat(chunks, size);
      size += value.byteLength;
      if (size > maxBytes) throw tooLarge(maxBytes);
      chunks.push(value);
    }
  } catch (error) {
    // Not awaited: a client that sends nothing more must not delay the answer.
    reader.cancel(error).catch(() => {});
    throw error;
  }
}

function tooLarge(maxBytes: number): Refusal {
  const detail = `Cannot read this body: it is larger than ${maxBytes} bytes`;
  return new Refusal(413, detail, { maxBytes }, CLOSE_CONNECTION);
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

/** Goes character by character, because some texts make a regular expression for strings very slow. */
function checkDepthAndNumbers(name: string, text: string): void {
  let depth = 0;
  let zeros = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === '"') {
      at = endOfString(text, at);
    } else if (character === "[" || character === "{") {
      if (++depth > MAX_DEPTH) {
        throw new Refusal(
          400,
          `Cannot read ${name}: it is nested deeper than ${MAX_DEPTH} levels`,
        );
      }
    } else if (character === "]" || character === "}") {
      depth--;
    } else if (character >= "0" && character <= "9") {
      NUMBER.lastIndex = at;
      const [number] = NUMBER.exec(text)!;
      if (!isExact(number)) {
        throw new Refusal(422, `Cannot keep the number ${number.slice(0, 40)}: write it as text`);
      }
      zeros += zerosOf(number);
      if (zeros > MAX_ZEROS) {
        throw new Refusal(
          422,
          `Cannot keep the numbers of ${name}: PostgreSQL writes them in full, with more than ` +
            `${MAX_ZEROS} zeros: write them as text`,
        );
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

/**
 * Whether JavaScript writes the number with the same digits as the client. A fraction passes in any case:
 * it becomes the nearest number that JavaScript has.
 */
function isExact(text: string): boolean {
  const number = Number(text);
  const isOrdinary = number !== 0 && Number.isFinite(number);
  if (isOrdinary && (text.length < 16 || !Number.isInteger(number))) return true;
  return significantDigits(String(number)) === significantDigits(text);
}

/** How many zeros a number has in full that it does not have as it is: 300 for 1e300 or 1e-300. */
function zerosOf(number: string): number {
  const exponent = number.split(/e/i)[1];
  return exponent === undefined || Number(number) === 0 ? 0 : Math.abs(Number(exponent));
}

/** By index: an expression for the zeros at the end looks at each run of zeros from each of its zeros. */
function significantDigits(number: string): string {
  const digits = number.replace(".", "").split(/e/i)[0]!;
  let first = 0;
  let end = digits.length;
  while (digits[first] === "0") first++;
  while (end > first && digits[end - 1] === "0") end--;
  return digits.slice(first, end);
}
