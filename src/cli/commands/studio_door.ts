import type { StudioOptions } from "@messagedb/client/studio";
import { randomBytes } from "node:crypto";
import { bearerOf, compareWith } from "../terminal/secret.ts";

/** Lets the browser into the studio that has the address which the command printed, and no other. */
export interface Door {
  /** The path that all paths of the studio begin with. */
  readonly base: string;
  /** What the address ends with. It opens the door once. */
  readonly token: string;
  readonly authorize: StudioOptions["authorize"];
  /** Answers a request that is not for the studio; else undefined. */
  answer(request: Request): Response | undefined;
}

const COOKIE = "messagedb-studio";
const USED =
  "This address was used already: it opens the studio once, in one browser. For another browser, " +
  'end the command with Ctrl-C, and run "messagedb studio" again';
const WRONG = 'This is not the address that "messagedb studio" printed: copy all of it, to its end';
const NO_SESSION =
  'This browser has not opened the studio: open the address that "messagedb studio" printed. ' +
  "If the browser has opened it, and a link of another site leads here, type the address yourself";

/** Makes the door of the studio at a port of this machine. */
export function makeDoor(port: number): Door {
  const [token, session] = [makeSecret(), makeSecret()];
  const [isToken, isSession] = [compareWith(token), compareWith(session)];
  // Browsers send the cookies of a host to all of its ports, but only with the paths that the cookies are for. So the
  // path is one that no other program of this machine can know. It lets nobody in.
  const base = `/${randomBytes(12).toString("hex")}`;
  // A page whose name leads to this machine has another host: DNS rebinding.
  const hosts = ["127.0.0.1", "localhost"].map((name) => new URL(`http://${name}:${port}`).host);
  let isUsed = false;

  const hasSession = ({ headers }: Request): boolean =>
    (headers.get("cookie") ?? "").split(/; */)
      .some((it) => it.startsWith(`${COOKIE}=`) && isSession(it.slice(COOKIE.length + 1)));
  const letIn = (request: Request): Response => {
    if (hasSession(request)) return new Response(null, { status: 204 });
    if (!isToken(bearerOf(request) ?? "")) return problem(403, "Forbidden", WRONG);
    if (isUsed) return problem(403, "Forbidden", USED);
    isUsed = true;
    const attributes = `Path=${base}; HttpOnly; SameSite=Strict`;
    const headers = { "set-cookie": `${COOKIE}=${session}; ${attributes}` };
    return new Response(null, { status: 204, headers });
  };
  return {
    base,
    token,
    answer(request) {
      const { host, pathname } = new URL(request.url);
      if (!hosts.includes(host) || !hosts.includes(request.headers.get("host") ?? "")) {
        return problem(421, "Misdirected Request", `The studio is at ${hosts.join(" and ")}`);
      }
      // The studio would say what its path is.
      if (!`${pathname}/`.startsWith(`${base}/`)) return htmlPage(404, NO_SESSION);
      return request.method === "POST" && pathname === `${base}/open` ? letIn(request) : undefined;
    },
    authorize(request, { operation }) {
      const path = new URL(request.url).pathname.slice(base.length);
      if (operation === "open" && path === "/open") return htmlPage(200, OPENING, SCRIPT_TAG);
      if (operation === "open" && path === "/open.js") {
        return new Response(SCRIPT, { headers: { "content-type": "text/javascript" } });
      }
      if (hasSession(request)) return true;
      return path.startsWith("/api/")
        ? problem(401, "Unauthorized", NO_SESSION)
        : htmlPage(401, NO_SESSION);
    },
  };
}

function makeSecret(): string {
  return randomBytes(32).toString("base64url");
}

function problem(status: number, title: string, detail: string): Response {
  return new Response(JSON.stringify({ type: "about:blank", title, status, detail }), {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}

function htmlPage(status: number, text: string, head = ""): Response {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Message DB studio</title>${head}
</head>
<body>
<main><h1>Message DB studio</h1><p id="text" role="status">${
    text.replaceAll('"', "&quot;")
  }</p></main>
</body>
</html>
`;
  const headers = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": "default-src 'none'",
  };
  return new Response(html, { status, headers });
}

const OPENING = "Opening …";
const SCRIPT_TAG = `
<script type="module" src="open.js"></script>`;
/** No server and no log gets what stands behind the "#". The token is sent in a header, and leaves the history. */
const SCRIPT = `const token = location.hash.slice(1);
history.replaceState(null, "", "open");
const text = document.getElementById("text");
try {
  const headers = { authorization: "Bearer " + token };
  const response = await fetch("open", { method: "POST", headers });
  if (response.ok) location.replace("./");
  else text.textContent = (await response.json()).detail + ".";
} catch {
  text.textContent = "The studio does not answer. It has ended, or the network is not there.";
}
`;
