import type { GatewayCall, GatewayOptions } from "@messagedb/client/gateway";
import type { Command } from "commander";
import { once } from "node:events";
import process from "node:process";
import { collect, wholeNumber } from "../terminal/arguments.ts";
import { badUse } from "../terminal/exit_code.ts";
import { listenOn } from "../terminal/listen.ts";
import { loadDefault } from "../terminal/load_module.ts";
import { askStore, type Context, firstAnswer, withOutput } from "../terminal/run.ts";
import { bearerOf, compareWith } from "../terminal/secret.ts";
import { openServer } from "../terminal/store.ts";

interface GatewayCommandOptions {
  readonly port: number;
  readonly host: string;
  readonly allow?: readonly string[];
  readonly rules?: string;
  readonly cors?: readonly string[];
  readonly basePath: string;
}

/** Who may do what, and how that is said. */
interface Rules {
  readonly authorize: GatewayOptions["authorize"];
  readonly sentences: readonly string[];
  /** The arguments of a curl command that these rules allow, before the address and behind it. */
  readonly example: readonly [options: string, path: string];
}

export function defineGateway(program: Command): void {
  program.command("gateway")
    .description("Serve the store over HTTP, with rules that say who may do what, until Ctrl-C")
    .option("--port <port>", "the port; 0 for any that is free", wholeNumber(0, 65_535), 8000)
    .option("--host <host>", "the address to listen on; 0.0.0.0 for all", "127.0.0.1")
    .option(
      "--allow <what>",
      "what needs no token: read, write, read:CATEGORY, write:CATEGORY or '*'; may be given again",
      collect,
    )
    .option("--rules <file>", "a module whose default export is authorize(request, call)")
    .option(
      "--cors <origin>",
      "an origin whose pages may call, or '*'; may be given again",
      collect,
    )
    .option("--base-path <path>", "the path that all paths begin with: /events", "")
    .addHelpText(
      "after",
      "\nA request that has the token of --token, or of MESSAGEDB_TOKEN, may do everything.",
    )
    .action(withOutput(async (context, options: GatewayCommandOptions) => {
      const rules = await rulesOf(context, options);
      // The token is that of the gateway's clients.
      const { sql, end } = await openServer({ ...context.options, token: undefined }, {});
      try {
        const { gateway } = await import("@messagedb/client/gateway");
        const { output, signal } = context;
        const handle = gateway(sql, {
          authorize: rules.authorize,
          basePath: options.basePath,
          cors: options.cors?.includes("*") ? "*" : options.cors,
          signal,
          onError: (error, request) => {
            const { pathname } = new URL(request.url);
            output.note(`error: ${request.method} ${pathname}: ${(error as Error).message}`);
            if (context.options.debug) console.error(error);
          },
        });
        await firstAnswer(askStore({ sql }), context);
        await serve(handle, context, options, rules);
      } finally {
        await end();
      }
    }));
}

/** Serves until the signal aborts and all requests have their answers. */
async function serve(
  handle: (request: Request) => Promise<Response>,
  { output, signal, address }: Context,
  { port, host, basePath }: GatewayCommandOptions,
  { sentences, example: [options, path] }: Rules,
): Promise<void> {
  const { server, host: ownHost, url: origin } = await listenOn(host, port, handle);
  const closed = once(server, "close");
  const url = `${origin}${basePath}`;
  await (output.isJson ? output.json({ url }) : output.print(url));
  output.note(`Serves ${address}. ${sentences.join(". ")}.`);
  if (!/^(127\.|::1$)/.test(ownHost)) {
    output.note("Other machines can reach it, and HTTP is not encrypted: put TLS before it.");
  }
  if (!output.isJson) output.note(`Try: curl ${options}'${url}${path}'`);
  if (!signal.aborted) await once(signal, "abort");
  output.note("Ends when all requests have their answers.");
  server.close();
  await closed;
}

async function rulesOf(
  { options: { token: given } }: Context,
  { allow, rules }: GatewayCommandOptions,
): Promise<Rules> {
  if (rules !== undefined) {
    if (given !== undefined || allow !== undefined) {
      throw badUse("--rules decides alone: leave out --token and --allow");
    }
    return {
      authorize: await loadRules(rules),
      sentences: [`The rules of ${rules} decide who may do what`],
      example: ["", "/openapi.json"],
    };
  }
  const token = given ?? process.env["MESSAGEDB_TOKEN"] ?? "";
  if (given === "") throw badUse("The token is empty: give another --token");
  if (token === "" && allow === undefined) {
    throw badUse(
      "No rule lets anybody in: give --token TOKEN (or MESSAGEDB_TOKEN) for those who may do " +
        "everything, --allow read for everybody, or --rules FILE",
    );
  }
  const isAllowed = await allowance(allow ?? []);
  const hasToken = token === "" ? () => false : bearer(token);
  return {
    authorize: (request, call) => hasToken(request) || isAllowed(call),
    sentences: [
      ...(token === "" ? [] : ["Who has the token may do everything"]),
      ...(allow === undefined ? [] : [`Everybody may do this: ${allow.join(", ")}`]),
    ],
    example: exampleOf(given === undefined ? "$MESSAGEDB_TOKEN" : "TOKEN", allow ?? []),
  };
}

async function loadRules(path: string): Promise<GatewayOptions["authorize"]> {
  const rules = await loadDefault<GatewayOptions["authorize"]>(path);
  if (typeof rules === "function") return rules;
  throw badUse(
    `"${path}" has no rules: its default export has to be a function authorize(request, call)`,
  );
}

function bearer(token: string): (request: Request) => boolean {
  const isToken = compareWith(token);
  return (request) => {
    const given = bearerOf(request);
    return given !== undefined && isToken(given);
  };
}

async function allowance(patterns: readonly string[]): Promise<(call: GatewayCall) => boolean> {
  const { isCategory } = await import("@messagedb/client");
  for (const pattern of patterns) {
    const [, category] = /^(?:\*|(?:read|write)(?::(.*))?)$/.exec(pattern) ??
      refuseAllowance(pattern);
    if (category !== undefined && !isCategory(category)) refuseAllowance(pattern);
  }
  return ({ operation, writes, category }) => {
    if (patterns.includes("*")) return true;
    // Clients ask for the version first.
    if (operation === "messageStoreVersion") return patterns.length > 0;
    // An import chooses the times of its messages: only who may do everything may do that.
    if (operation === "importMessages") return false;
    const kind = writes ? "write" : "read";
    return patterns.includes(kind) ||
      category !== undefined && patterns.includes(`${kind}:${category}`);
  };
}

function refuseAllowance(pattern: string): never {
  throw badUse(
    `"${pattern}" is nothing to allow: give read, write, read:CATEGORY, write:CATEGORY or '*'`,
  );
}

function exampleOf(token: string, allow: readonly string[]): Rules["example"] {
  const first = allow.find((it) => it.startsWith("read")) ?? allow[0];
  if (first === undefined) {
    return [`-H "authorization: Bearer ${token}" `, "/messages?batchSize=3"];
  }
  const [kind, category] = first.split(":");
  if (kind === "write") {
    return [
      `--json '{"type":"Tried"}' `,
      `/streams/${encodeURIComponent(category ?? "try")}-1/messages`,
    ];
  }
  return [
    "",
    `${
      category === undefined ? "" : `/categories/${encodeURIComponent(category)}`
    }/messages?batchSize=3`,
  ];
}
