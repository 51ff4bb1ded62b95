import type { StudioOptions } from "@messagedb/client/studio";
import type { Command } from "commander";
import { once } from "node:events";
import process from "node:process";
import { collect, wholeNumber } from "../terminal/arguments.ts";
import { badUse } from "../terminal/exit_code.ts";
import { listenOn } from "../terminal/listen.ts";
import { loadModule } from "../terminal/load_module.ts";
import { type Context, withPostgres } from "../terminal/run.ts";
import { makeDoor } from "./studio_door.ts";

/** How long the command may take to end after Ctrl-C, in milliseconds. */
const END_TIMEOUT = 500;

interface StudioCommandOptions {
  readonly port?: number;
  readonly write?: boolean;
  readonly module?: readonly string[];
}

/** What the studio is told of the program. */
type Parts = Required<Pick<StudioOptions, "consumers" | "entities">>;

const MODULE_HELP = `
Of the modules, the studio takes all exported consumers, whose parked messages it can then replay,
and all exported entities, whose states it then shows as they are folded.`;

export function defineStudio(program: Command): void {
  program.command("studio")
    .description("Show the store on a page of this machine's browser, until Ctrl-C")
    .option(
      "--port <number>",
      "the port on 127.0.0.1 (default: a free one)",
      wholeNumber(1, 65_535),
    )
    .option("--write", "let the page change the store: write, rewind, skip, park, replay, discard")
    .option(
      "--module <file>",
      "a module that exports consumers or entities; may be given again",
      collect,
    )
    .addHelpText("after", MODULE_HELP)
    .action(withPostgres(async ({ sql, ...context }, options: StudioCommandOptions) => {
      const { port = 0, module: files = [], write = false } = options;
      const parts = await partsOf(files);
      const { studio } = await import("@messagedb/client/studio");
      const { output, signal } = context;
      let handle: ReturnType<typeof studio>;
      const listening = await listenOn("127.0.0.1", port, (request) => handle(request));
      const { server } = listening;
      try {
        const door = makeDoor(listening.port);
        const answer = studio(sql, {
          ...parts,
          basePath: door.base,
          authorize: door.authorize,
          readOnly: !write,
          signal,
          onError: (error, request) => {
            const { pathname } = new URL(request.url);
            output.note(`error: ${request.method} ${pathname}: ${(error as Error).message}`);
            if (context.options.debug) console.error(error);
          },
        });
        handle = async (request) => door.answer(request) ?? await answer(request);
        await printOpen(context, `${listening.url}${door.base}/open#${door.token}`, write);
        if (!signal.aborted) await once(signal, "abort");
        // Neither a search that the server is at work on keeps the command, nor what a module holds open.
        setTimeout(() => process.exit(), END_TIMEOUT).unref();
      } finally {
        server.close();
        server.closeAllConnections();
      }
    }));
}

async function printOpen(
  { output, address }: Pick<Context, "output" | "address">,
  url: string,
  writes: boolean,
): Promise<void> {
  await (output.isJson ? output.json({ url }) : output.print(url));
  const may = writes ? "Its pages can change the store" : "It only reads: --write lets it do more";
  output.note(`The studio of ${address}. ${may}.`);
  output.note("The address opens it once, in one browser. Ctrl-C ends it.");
}

async function partsOf(files: readonly string[]): Promise<Parts> {
  const [consumers, entities]: [unknown[], unknown[]] = [[], []];
  for (const file of files) {
    const exported = [...new Set(Object.values(await loadModule(file)))];
    const own = [exported.filter(isConsumer), exported.filter(isEntity)] as const;
    if (own.flat().length === 0) {
      throw badUse(
        `The module "${file}" exports no consumer (an object with a consumerId and its handlers) and ` +
          "no entity",
      );
    }
    consumers.push(...own[0]);
    entities.push(...own[1]);
  }
  return { consumers, entities } as Parts;
}

function isConsumer(it: unknown): boolean {
  return has(it, "consumerId") && ["handle", "handlers", "handlePage"].some((key) => has(it, key));
}

/** An entity, or the definition of one. */
function isEntity(it: unknown): boolean {
  return has(it, "category") && (has(it, "init") || has(it, "decide") && has(it, "fold"));
}

function has(it: unknown, key: string): boolean {
  return typeof it === "object" && it !== null && key in it;
}
