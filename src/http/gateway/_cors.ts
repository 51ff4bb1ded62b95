import type { Gateway } from "./_gateway.ts";

/** Answers a preflight request; undefined if the request is not one, or no other origin is allowed. */
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
      // Every header is allowed, since `authorize` may look at any. The origin decides who may call.
      "access-control-allow-headers": headers.get("access-control-request-headers") ?? "",
      "access-control-max-age": "600",
      vary: "access-control-request-headers",
    },
  });
}

/** Lets the page that sent the request read the response, if the page's origin is allowed. */
export function shareWithOrigin(response: Response, request: Request, { cors }: Gateway): Response {
  if (cors.length === 0) return response;
  const { headers } = response;
  headers.set("access-control-expose-headers", "etag, retry-after");
  if (cors === "*") {
    headers.set("access-control-allow-origin", "*");
    return response;
  }
  headers.append("vary", "origin");
  const origin = request.headers.get("origin");
  if (origin !== null && cors.includes(origin)) {
    headers.set("access-control-allow-origin", origin);
    // An EventSource can send cookies, and no other credentials.
    headers.set("access-control-allow-credentials", "true");
  }
  return response;
}
