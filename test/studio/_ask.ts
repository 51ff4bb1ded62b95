import { studio, type StudioOptions } from "@messagedb/client/studio";
import type { Sql } from "@messagedb/client";

const HEADERS = { "content-type": "application/json", "x-messagedb-studio": "1" };

/** What a request for an operation has besides. */
export interface AskOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: string;
  readonly signal?: AbortSignal;
}

/** A request as the studio's own page sends it. */
export function requestOf(
  operation: string,
  given: unknown = {},
  { headers, ...init }: AskOptions = {},
): Request {
  return new Request(`http://studio.test/api/${operation}`, {
    method: "POST",
    headers: { ...HEADERS, ...headers },
    body: JSON.stringify(given),
    ...init,
  });
}

/** The answer to a request, and its JSON. */
export interface Asked {
  readonly status: number;
  // deno-lint-ignore no-explicit-any -- each operation answers something else
  readonly json: any;
}

/** Makes a studio, and a function that asks it as its page does. */
export function asking(
  sql: Sql,
  options: Partial<StudioOptions> = {},
): (operation: string, given?: unknown, more?: AskOptions) => Promise<Asked> {
  const handle = studio(sql, { authorize: () => true, ...options });
  return async (operation, given, more) => {
    const response = await handle(requestOf(operation, given, more));
    return { status: response.status, json: await response.json() };
  };
}
