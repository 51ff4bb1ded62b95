import { storeFor } from "../handle/_store_for.ts";
import { askRule } from "../http/gateway/_authorize.ts";
import { checkContentType, readJson } from "../http/gateway/_body.ts";
import { answerProblem, Refusal, UNAVAILABLE } from "../http/gateway/_problem.ts";
import { urlOf } from "../http/gateway/_url_of.ts";
import { checkId } from "../names/_check.ts";
import { inspectMessage } from "../operate/inspect_message.ts";
import { studioOperation } from "./_operations.ts";
import { checkGiven, refusalFor } from "./_refusals.ts";
import { answerAsset, answerShell, makeSafe } from "./_shell.ts";
import { storeIn, type Studio } from "./_studio.ts";
import type { StudioCall } from "./call.ts";

const MOST_BODY_BYTES = 1_048_576;
/**
 * Says what the page knows when it asks again by itself: pages that know the same have one answer. Without a statement
 * left for it, the answer is 204, and the page asks later.
 */
const AGAIN = "x-messagedb-again";

/** Answers a request, and never rejects. */
export async function answerStudio(request: Request, studio: Studio): Promise<Response> {
  let response;
  try {
    response = await route(request, studio);
  } catch (error) {
    // Nobody waits for the answer, or the server stops: that is no failure.
    const isOver = request.signal.aborted || studio.signal?.aborted;
    const refusal = isOver ? UNAVAILABLE : refusalFor(error, studio.partitions);
    if (!isOver && refusal.status >= 500 && error !== refusal) studio.onError(error, request);
    response = answerProblem(refusal);
  }
  if (request.method === "HEAD") response = new Response(null, response);
  return makeSafe(response);
}

async function route(request: Request, studio: Studio): Promise<Response> {
  const { base } = studio;
  const { pathname } = urlOf(request);
  const path = pathname === base ? "/" : pathname.slice(base.length);
  if (!`${pathname}/`.startsWith(`${base}/`)) {
    throw new Refusal(404, `There is nothing here: the studio is at ${base}/`);
  }
  const file = /^\/api\/messages\/([^/]*)$/.exec(path)?.[1];
  if (file !== undefined) return await answerFile(request, studio, file);
  const api = /^\/api\/(.*)$/s.exec(path)?.[1];
  if (api !== undefined) return await answerApi(request, studio, api);
  checkMethod(request, "GET", "HEAD");
  const refused = await askWhether(request, studio, { operation: "open", writes: false });
  if (refused) return refused;
  const asset = /^\/assets\/(.*)$/s.exec(path)?.[1];
  if (asset === undefined) return answerShell(base);
  const answer = await answerAsset(request, asset);
  if (answer === undefined) {
    throw new Refusal(404, "There is no such file: the page is of another version, load it again");
  }
  return answer;
}

async function answerApi(request: Request, studio: Studio, name: string): Promise<Response> {
  const operation = studioOperation(name);
  if (operation === undefined) {
    throw new Refusal(404, `There is no operation ${JSON.stringify(name)}`);
  }
  checkMethod(request, "POST");
  checkOwnPage(request);
  checkContentType(request);
  const given = await readJson(request, MOST_BODY_BYTES) as object;
  const { writes, again } = operation;
  const call = { ...operation.place(given), operation: name as StudioCall["operation"], writes };
  if (writes && studio.readOnly) {
    throw new Refusal(403, `Cannot call ${name}: this studio only reads`, { code: "READ_ONLY" });
  }
  const refused = await askWhether(request, studio, call);
  if (refused) return refused;
  const source = call.streamName ?? call.category ?? call.aggregate;
  if (source !== undefined) studio.ask.check(storeFor(storeIn(studio, call.partition), source));
  const signal = studio.signal ? AbortSignal.any([request.signal, studio.signal]) : request.signal;
  // A statement that runs is not cancelled: PostgreSQL cancels whatever its connection does by then, which may be the
  // statement of somebody else. So each has a bound, and none begins for whoever has left.
  signal.throwIfAborted();
  const run = async (signal: AbortSignal) => {
    try {
      return await operation.run(studio, given, signal, request);
    } finally {
      if (writes) studio.outdate();
    }
  };
  const known = request.headers.get(AGAIN);
  // Whoever has asked first may leave, while others wait for the same answer.
  const answer = known === null || again === undefined ? await run(signal) : await studio.again({
    what: `${name} ${JSON.stringify(given)}`,
    known,
    ...again,
    ask: () => run(studio.signal ?? new AbortController().signal),
  });
  if (answer === undefined) return new Response(null, { status: 204 });
  return new Response(JSON.stringify(answer), {
    headers: { "content-type": "application/json" },
  });
}

/** A whole message as a file: its data can be too large for a page. */
async function answerFile(request: Request, studio: Studio, id: string): Promise<Response> {
  checkMethod(request, "GET", "HEAD");
  // "none": the person has typed the address.
  if (!["same-origin", "none"].includes(request.headers.get("sec-fetch-site") ?? "none")) {
    throw foreignRequest();
  }
  checkGiven(() => checkId(id));
  const call = { operation: "readMessage", writes: false, ids: [id] } as const;
  const refused = await askWhether(request, studio, call);
  if (refused) return refused;
  const message = await studio.ask.first((store) => inspectMessage(store, id), request);
  if (message === null) throw new Refusal(404, `There is no message "${id}"`);
  const { data, metadata, size: _, isCut: __, ...head } = message;
  // The texts are JSON: so no number in them is rounded.
  const text = `${JSON.stringify(head).slice(0, -1)},"data":${data},"metadata":${metadata}}\n`;
  return new Response(text, {
    headers: {
      "content-type": "application/json",
      "content-disposition": `attachment; filename="message-${id.toLowerCase()}.json"`,
    },
  });
}

function checkMethod({ method }: Request, ...allowed: readonly string[]): void {
  if (allowed.includes(method)) return;
  const allow = allowed.join(", ");
  throw new Refusal(405, `Cannot ${method} this: it takes ${allow}`, {}, { allow });
}

/**
 * Refuses what the page of another site sends with the cookies of the person who looks at it. Only a page of the same
 * origin can send the header without the server being asked beforehand, and the server answers no such question.
 */
function checkOwnPage(request: Request): void {
  const { headers } = request;
  const site = headers.get("sec-fetch-site") ?? "same-origin";
  const origin = headers.get("origin");
  // Without the scheme: a proxy may have taken the TLS off.
  const isOwn = origin === null ||
    URL.canParse(origin) && new URL(origin).host === urlOf(request).host;
  if (site === "same-origin" && isOwn && headers.get("x-messagedb-studio") === "1") return;
  throw foreignRequest();
}

function foreignRequest(): Refusal {
  return new Refusal(
    403,
    "Cannot answer this request: it does not come from the studio's own page",
    { code: "FOREIGN_REQUEST" },
  );
}

/** Asks `authorize`; answers what the browser gets in place of what it wanted, if the call is not allowed. */
async function askWhether(
  request: Request,
  studio: Studio,
  call: StudioCall,
): Promise<Response | undefined> {
  const allowed = await askRule(studio, request, call);
  // Headers of a redirect cannot be changed, and another realm has another class.
  if (Object.prototype.toString.call(allowed) === "[object Response]") {
    const { body, status, statusText, headers } = allowed as Response;
    return new Response(body, { status, statusText, headers: new Headers(headers) });
  }
  if (allowed === true) return undefined;
  throw new Refusal(403, `Cannot call ${call.operation}: it is not allowed`);
}
