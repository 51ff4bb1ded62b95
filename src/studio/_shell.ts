import { ASSETS, PAGE } from "./_assets.ts";

/** What the browser may do with any answer of the studio: nothing but to show the page, and only by itself. */
const SAFE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; "),
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** Puts the headers on an answer that keep other pages and other people's texts from doing harm. */
export function makeSafe(response: Response): Response {
  for (const [name, value] of Object.entries(SAFE_HEADERS)) response.headers.set(name, value);
  if (!response.headers.has("cache-control")) response.headers.set("cache-control", "no-store");
  return response;
}

/** The page: the same for every view. */
export function answerShell(base: string): Response {
  return new Response(shellOf(base), { headers: { "content-type": "text/html; charset=utf-8" } });
}

function shellOf(base: string): string {
  const safe = base.replace(/[&<>"']/g, (it) => `&#${it.charCodeAt(0)};`);
  return `<!doctype html>
<html lang="en" data-base="${safe}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>Message DB studio</title>
<link rel="icon" href="${safe}/assets/${PAGE.icon}" type="image/svg+xml">
<link rel="stylesheet" href="${safe}/assets/${PAGE.style}">
<link rel="modulepreload" href="${safe}/assets/${PAGE.imported}">
<script type="module" src="${safe}/assets/${PAGE.script}"></script>
</head>
<body>
<div id="app"><p class="state unstarted">The script of the page is not here. Load the page again.</p></div>
<noscript>The studio needs JavaScript.</noscript>
</body>
</html>
`;
}

/**
 * A script or a style, compressed if that is understood. Its name has a hash of its text, so it never changes. Undefined
 * if there is none.
 */
export async function answerAsset(request: Request, name: string): Promise<Response | undefined> {
  const asset = Object.hasOwn(ASSETS, name) ? ASSETS[name]! : undefined;
  if (asset === undefined) return undefined;
  const etag = `W/"${name}"`;
  const headers = {
    "content-type": `${asset.type}; charset=utf-8`,
    // What authorize() allows to one person, a shared cache must not hand to others.
    "cache-control": "private, max-age=31536000, immutable",
    etag,
    vary: "accept-encoding",
  };
  const known = request.headers.get("if-none-match")?.split(",").map((it) =>
    it.trim().replace(/^(?!W\/|\*)/, "W/")
  );
  if (known?.some((it) => it === etag || it === "*")) {
    return new Response(null, { status: 304, headers });
  }
  // Not each runtime has it.
  const isCompressed = typeof CompressionStream === "function" && takesGzip(request);
  if (!isCompressed) return new Response(asset.text, { headers });
  let bytes = compressed.get(name);
  if (bytes === undefined) compressed.set(name, bytes = gzip(asset.text));
  // By this option, workerd does not compress it again (https://developers.cloudflare.com/workers/runtime-apis/response/).
  const init = { headers: { ...headers, "content-encoding": "gzip" }, encodeBody: "manual" };
  return new Response(await bytes, init);
}

/** By the names of the assets. */
const compressed = new Map<string, Promise<ArrayBuffer>>();

function takesGzip({ headers }: Request): boolean {
  return (headers.get("accept-encoding") ?? "").split(",").some((it) => {
    const [name, quality = ""] = it.split(";").map((part) => part.trim());
    return name === "gzip" && !/^q=0[.0]*$/.test(quality);
  });
}

function gzip(text: string): Promise<ArrayBuffer> {
  return new Response(new Blob([text]).stream().pipeThrough(new CompressionStream("gzip")))
    .arrayBuffer();
}
