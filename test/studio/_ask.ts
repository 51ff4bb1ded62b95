import type { Sql } from "@messagedb/client";
import { studio, type StudioOptions } from "../../src/studio/studio.ts";

/** An answer of a studio, its body parsed where it is JSON. */
export interface StudioAnswer {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any -- each test knows what it asked for
  readonly body: any;
  readonly text: string;
}

export interface TestStudio {
  readonly handle: (request: Request) => Promise<Response>;
  /** Calls an operation, as the page does. */
  ask(operation: string, given?: object, init?: RequestInit): Promise<StudioAnswer>;
  /** Sends any request to a path. */
  send(path: string, init?: RequestInit): Promise<StudioAnswer>;
}

const OF_THE_PAGE = {
  "content-type": "application/json",
  "sec-fetch-site": "same-origin",
  "origin": "http://studio",
  "x-messagedb-studio": "1",
};

/** The headers of the page, some with another value, or with null without it. */
export function pageHeaders(
  others: Readonly<Record<string, string | null>> = {},
): Record<string, string> {
  const headers: Record<string, string | null> = { ...OF_THE_PAGE, ...others };
  return Object.fromEntries(
    Object.entries(headers).filter((it): it is [string, string] => it[1] !== null),
  );
}

/** A studio that allows all, unless it is told otherwise. It is made with the first request. */
export function testStudio(
  store: { readonly sql: Sql },
  options: Partial<StudioOptions> = {},
): TestStudio {
  let made: TestStudio["handle"] | undefined;
  const handle: TestStudio["handle"] = (request) =>
    (made ??= studio(store.sql, { authorize: () => true, ...options }))(request);
  const base = (options.basePath ?? "").replace(/\/$/, "");
  const send = async (path: string, init: RequestInit = {}): Promise<StudioAnswer> => {
    const { status, headers, ...rest } = await answer(await handle(request(path, init)));
    return { status, headers, ...rest };
  };
  return {
    handle,
    send,
    ask: (operation, given = {}, init = {}) =>
      send(`${base}/api/${operation}`, {
        method: "POST",
        headers: pageHeaders(),
        body: JSON.stringify(given),
        ...init,
      }),
  };
}

function request(path: string, init: RequestInit): Request {
  return new Request(`http://studio${path}`, init);
}

async function answer(response: Response): Promise<StudioAnswer> {
  const { status, headers } = response;
  const text = await response.text();
  const isJson = /json/.test(headers.get("content-type") ?? "") && text !== "";
  return { status, headers, text, body: isJson ? JSON.parse(text) : undefined };
}
