import type { Installed, InstallOptions } from "@messagedb/client/install";
import type { Command } from "commander";
import { CommandError, EXIT_CODE } from "../terminal/exit_code.ts";
import { type Context, withServer } from "../terminal/run.ts";

export function defineInstall(program: Command): void {
  program.command("install")
    .description("Install Message DB, and put back what is missing of it")
    .option("--create-database", "create the database too, if it is not there")
    .option("--notify", "make writes notify listeners")
    .option("--no-notify", "make writes notify nobody")
    .option("--name-index", "make an index of stream names")
    .option("--no-name-index", "drop the index of stream names")
    .option("--dry-run", "print the SQL that would run, and change nothing")
    .action(withServer(async (context, options: InstallOptions) => {
      const { install } = await import("@messagedb/client/install");
      const installed = await install(context.sql, { ...options, partition: context.place });
      await (options.dryRun ? printSql : printInstalled)(context, installed);
    }, { heading: (text, { dryRun }) => dryRun ? `-- ${text}` : text }));
}

export function defineUpgrade(program: Command): void {
  program.command("upgrade")
    .description("Bring an older Message DB up to date, and put back what is missing of it")
    .action(withServer(async (context) => {
      const { install } = await import("@messagedb/client/install");
      const partition = context.place;
      const { changes } = await install(context.sql, { partition, dryRun: true });
      if (isNewStore(changes)) {
        const { schema } = context.options;
        const command = `messagedb install${schema === undefined ? "" : ` --schema ${schema}`}`;
        throw new CommandError(
          `Cannot upgrade ${context.address}: it has no Message DB, which "${command}" installs`,
          EXIT_CODE.noStore,
        );
      }
      await printInstalled(context, await install(context.sql, { partition }));
    }));
}

async function printInstalled({ output, address }: Context, installed: Installed): Promise<void> {
  if (output.isJson) return await output.json(installed);
  const { from, version, changes, createDatabase } = installed;
  if (isNewStore(changes)) {
    const where = createDatabase === null ? "" : ", in a database that was created";
    return await output.print(`Message DB ${version} is installed in ${address}${where}`);
  }
  if (changes.length === 0) {
    return await output.print(
      `Message DB ${version} is in ${address} already: nothing was left to do`,
    );
  }
  const isUpgraded = from !== null && from !== version;
  await output.print(
    isUpgraded
      ? `Message DB is upgraded from ${from} to ${version}. What was done:`
      : `Message DB ${version} was there already. What was done:`,
  );
  for (const change of changes) await output.print(`  ${change}`);
}

/** Prints a script for psql. */
async function printSql({ output, address }: Context, installed: Installed): Promise<void> {
  if (output.isJson) return await output.json(installed);
  const { createDatabase, statements, version } = installed;
  if (statements.length === 0) {
    return output.note(
      `Message DB ${version} is in ${address} already: nothing is left to do`,
    );
  }
  if (createDatabase !== null) {
    await output.print(`${createDatabase};`);
    await output.print(`\\connect ${createDatabase.slice("create database ".length)}\n`);
  }
  await output.print(["begin;", ...statements, "commit;"].join("\n\n"));
}

function isNewStore(changes: readonly string[]): boolean {
  return changes.includes('create the table "messages"');
}
