import { Refusal } from "./_problem.ts";

/** Milliseconds that a request may take to bring its body. */
const TIME_LIMIT = 10_000;

/** How deep arrays and objects may be nested: far less than what Postgres's and any runtime's stack take. */
const DEPTH_LIMIT = 500;

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

/** Parses JSON that a client sent, and refuses what is nested deeper than others could take. */
export function parseJson(name: string, text: string): unknown {
  if (depthOf(text) > DEPTH_LIMIT) {
    throw new Refusal(400, `Cannot read ${name}: it is nested deeper than ${DEPTH_LIMIT} levels`);
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, `Cannot read ${name}: it is not JSON`);
  }
}

async function readBytes({ body, headers }: Request, maxBytes: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new Refusal(413, `Cannot read this body: it is larger than ${maxBytes} bytes`, { maxBytes });
  if (Number(headers.get("content-length")) > maxBytes) throw tooLarge();
  if (body === null) return new Uint8Array();

  const reader = body.getReader();
  const late = new Refusal(408, `Cannot read this body: it did not come within ${TIME_LIMIT} ms`);
  let timer;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, TIME_LIMIT, late);
  });
  try {
    const chunks: Uint8Array[] = [];
    let size = 0;
    while (true) {
      const { done, value } = await Promise.race([reader.read(), deadline]);
      if (done) return concat(chunks, size);
      size += value.byteLength;
      if (size > maxBytes) throw tooLarge();
      chunks.push(value);
    }
  } catch (error) {
    // Not awaited: a client that sends nothing more does not hold up the answer.
    reader.cancel(error).catch(() => {});
    if (error instanceof Refusal) throw error;
    throw new Refusal(400, "Cannot read this body: it broke off");
  } finally {
    clearTimeout(timer);
  }
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

/** How deep brackets are nested, those in strings left out. By character: a regular expression can be made to crawl. */
function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') inString = !inString;
    else if (inString) at += character === "\\" ? 1 : 0;
    else if (character === "[" || character === "{") deepest = Math.max(deepest, ++depth);
    else if (character === "]" || character === "}") depth--;
  }
  return deepest;
}
