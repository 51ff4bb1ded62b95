import type { Gateway } from "./gateway/_gateway.ts";
import { answerOpenapi } from "./gateway/rest/_openapi.ts";
import { urlOf } from "./gateway/rest/_input.ts";
import { Refusal } from "./gateway/_problem.ts";
import {
  answerAllMessages,
  answerAppend,
  answerCategoryMessages,
  answerLastMessage,
  answerMessage,
  answerStream,
  answerStreamMessages,
  type Endpoint,
} from "./gateway/rest/_resources.ts";
import { answerStatement } from "./gateway/sql/_sql.ts";

/** What the gateway has: each path has at most one name in it. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, Endpoint>>>> = {
  "/sql": { POST: answerStatement },
  "/streams/{streamName}": { GET: answerStream },
  "/streams/{streamName}/messages": { GET: answerStreamMessages, POST: answerAppend },
  "/streams/{streamName}/messages/last": { GET: answerLastMessage },
  "/categories/{category}/messages": { GET: answerCategoryMessages },
  "/messages": { GET: answerAllMessages },
  "/messages/{id}": { GET: answerMessage },
  "/openapi.json": { GET: answerOpenapi },
};

/** Answers a request by the handler of its path and method. */
export async function answer(request: Request, gateway: Gateway): Promise<Response> {
  const { basePath } = gateway;
  const { pathname } = urlOf(request);
  if (pathname.startsWith(`${basePath}/`)) {
    const segments = pathname.slice(basePath.length).split("/");
    for (const [path, handlers] of Object.entries(ROUTES)) {
      const name = nameIn(segments, path);
      if (name === undefined) continue;
      const isHead = request.method === "HEAD";
      const method = isHead ? "GET" : request.method;
      // Its own: a method can be named "constructor".
      if (Object.hasOwn(handlers, method)) {
        const response = await handlers[method]!(request, gateway, name);
        if (!isHead) return response;
        await response.body?.cancel();
        return new Response(null, response);
      }
      const allow = Object.keys(handlers).join(", ").replace("GET", "GET, HEAD");
      throw new Refusal(405, `Cannot ${request.method} this: it takes ${allow}`, {}, { allow });
    }
  }
  throw new Refusal(
    404,
    `There is nothing here: statements go to ${basePath}/sql, and ${basePath}/openapi.json says ` +
      "what else there is",
  );
}

/** What the segments have where the path has a name, "" where it has none; undefined if they differ. */
function nameIn(segments: readonly string[], path: string): string | undefined {
  const parts = path.split("/");
  if (segments.length !== parts.length) return undefined;
  let name = "";
  for (const [at, part] of parts.entries()) {
    if (part.startsWith("{")) name = segments[at]!;
    else if (part !== segments[at]) return undefined;
  }
  try {
    return decodeURIComponent(name);
  } catch {
    throw new Refusal(400, "Cannot read this path: a name in it is not percent-encoded UTF-8");
  }
}
