import { expect } from "vitest";

/** An event of a stream of them. */
export interface Event {
  readonly id: string;
  // deno-lint-ignore no-explicit-any -- each test knows what it reads
  readonly data: any;
}

/** Follows server-sent events by a connection, until it ends; to stop is to go away. */
export async function* follow(
  url: string,
  headers: HeadersInit = {},
  gone: AbortController = new AbortController(),
): AsyncGenerator<Event> {
  const response = await fetch(url, {
    headers: { accept: "text/event-stream", ...headers },
    signal: gone.signal,
  });
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/event-stream",
  ]);
  try {
    yield* parse(response.body!);
  } finally {
    gone.abort();
  }
}

/** The events of a body, by the rules of the WHATWG that a gateway makes use of. */
export async function* parse(body: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  let rest = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream() as never)) {
    const blocks = (rest + chunk).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const lines = block.split(/\r\n|\r|\n/).filter((line) => !line.startsWith(":"));
      const fields = new Map(lines.map((line) => {
        const [name, value] = line.split(/: ?(.*)/s);
        return [name!, value!];
      }));
      expect(fields.size).toBe(lines.length);
      if (fields.has("data")) {
        expect([...fields.keys()]).toEqual(["id", "data"]);
        yield { id: fields.get("id")!, data: JSON.parse(fields.get("data")!) };
      } else if (lines.length > 0) expect(lines).toEqual(["retry: 1000"]);
    }
  }
}

/** As many events as these. */
export async function take(events: AsyncGenerator<Event>, count: number): Promise<Event[]> {
  const taken: Event[] = [];
  for await (const event of events) {
    taken.push(event);
    if (taken.length === count) break;
  }
  return taken;
}
