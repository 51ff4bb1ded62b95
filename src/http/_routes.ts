import type { Gateway } from "./gateway/_gateway.ts";
import { answerOpenapi } from "./gateway/rest/_openapi.ts";
import { holdToPreconditions, refusePreconditions } from "./gateway/rest/_preconditions.ts";
import { urlOf } from "./gateway/_url_of.ts";
import { Refusal } from "./gateway/_problem.ts";
import {
  answerAllMessages,
  answerAppend,
  answerCategoryMessages,
  answerEntityIds,
  answerLastMessage,
  answerMessage,
  answerStream,
  answerStreamMessages,
  answerWriteStreams,
  type Endpoint,
} from "./gateway/rest/_resources.ts";
import { answerStatement } from "./gateway/sql/_sql.ts";

/** The endpoints of one path, by method. */
type Endpoints = Readonly<Record<string, Endpoint>>;

/** The endpoints of each path. A path has at most one parameter. */
const ROUTES: Readonly<Record<string, Endpoints>> = {
  "/sql": {
    POST: async (request, gateway) => {
      refusePreconditions(request);
      return await answerStatement(request, gateway);
    },
  },
  "/streams": { POST: answerWriteStreams },
  "/streams/{streamName}": { GET: answerStream },
  "/streams/{streamName}/messages": { GET: answerStreamMessages, POST: answerAppend },
  "/streams/{streamName}/messages/last": { GET: answerLastMessage },
  "/categories/{category}/messages": { GET: answerCategoryMessages },
  "/categories/{category}/ids": { GET: answerEntityIds },
  "/messages": { GET: answerAllMessages },
  "/messages/{id}": { GET: answerMessage },
  "/openapi.json": { GET: answerOpenapi },
};

/** Answers a request by the endpoint of its path and method. */
export async function answerRequest(request: Request, gateway: Gateway): Promise<Response> {
  const { basePath } = gateway;
  const route = findRoute(urlOf(request).pathname, basePath);
  if (route === undefined) {
    throw new Refusal(
      404,
      `There is nothing here: statements go to ${basePath}/sql, and ${basePath}/openapi.json says ` +
        "what else there is",
    );
  }
  const { endpoints, parameter } = route;
  const isHead = request.method === "HEAD";
  const method = isHead ? "GET" : request.method;
  // Only its own keys: a request can have the method "constructor".
  if (!Object.hasOwn(endpoints, method)) {
    const allow = Object.keys(endpoints).join(", ").replace("GET", "GET, HEAD");
    throw new Refusal(405, `Cannot ${request.method} this: it takes ${allow}`, {}, { allow });
  }
  const answer = await endpoints[method]!(request, gateway, parameter);
  const response = method === "GET" ? await holdToPreconditions(request, answer) : answer;
  if (!isHead) return response;
  await response.body?.cancel();
  return new Response(null, response);
}

/** The route of a path, with a name in braces for its parameter; undefined if the gateway has no such path. */
export function routeOf(pathname: string, basePath: string): string | undefined {
  try {
    const route = findRoute(pathname, basePath);
    return route && basePath + route.path;
  } catch {
    // The path cannot be read, and the gateway refuses it.
    return undefined;
  }
}

function findRoute(
  pathname: string,
  basePath: string,
):
  | { readonly path: string; readonly endpoints: Endpoints; readonly parameter: string }
  | undefined {
  if (!pathname.startsWith(`${basePath}/`)) return undefined;
  const segments = pathname.slice(basePath.length).split("/");
  for (const [path, endpoints] of Object.entries(ROUTES)) {
    const parameter = pathParameterOf(segments, path);
    if (parameter !== undefined) return { path, endpoints, parameter };
  }
  return undefined;
}

/** The value of the path's parameter, "" if the path has none; undefined if the segments do not match. */
function pathParameterOf(segments: readonly string[], path: string): string | undefined {
  const parts = path.split("/");
  if (segments.length !== parts.length) return undefined;
  let value = "";
  for (const [at, part] of parts.entries()) {
    if (part.startsWith("{")) value = segments[at]!;
    else if (part !== segments[at]) return undefined;
  }
  try {
    return decodeURIComponent(value);
  } catch {
    throw new Refusal(400, "Cannot read this path: a name in it is not percent-encoded UTF-8");
  }
}
