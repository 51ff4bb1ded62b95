import type { Gateway } from "./_gateway.ts";

/** Answers a page's question whether it may send a request; undefined where this is none, or no page may. */
export function answerPreflight(
  { method, headers }: Request,
  { cors }: Gateway,
): Response | undefined {
  const wanted = headers.get("access-control-request-method");
  if (method !== "OPTIONS" || wanted === null || cors.length === 0) return undefined;
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST",
      // Whatever a rule may look at: who asks is decided by origin.
      "access-control-allow-headers": headers.get("access-control-request-headers") ?? "",
      "access-control-max-age": "600",
      vary: "access-control-request-headers",
    },
  });
}

/** Lets the page that asked have the answer, if its origin is allowed. */
export function shareWithOrigin(response: Response, request: Request, { cors }: Gateway): Response {
  if (cors.length === 0) return response;
  const { headers } = response;
  headers.set("access-control-expose-headers", "retry-after");
  if (cors === "*") {
    headers.set("access-control-allow-origin", "*");
    return response;
  }
  headers.append("vary", "origin");
  const origin = request.headers.get("origin");
  if (origin !== null && cors.includes(origin)) {
    headers.set("access-control-allow-origin", origin);
    // An EventSource carries nothing but cookies.
    headers.set("access-control-allow-credentials", "true");
  }
  return response;
}
