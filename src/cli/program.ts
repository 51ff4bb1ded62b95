import { Command } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { defineBench } from "./commands/bench.ts";
import { defineCategories } from "./commands/categories.ts";
import { defineCompletion } from "./commands/completion.ts";
import { defineGateway } from "./commands/gateway.ts";
import { defineConsumers } from "./commands/consumers.ts";
import { defineCopy } from "./commands/copy.ts";
import { defineDoctor } from "./commands/doctor.ts";
import { defineGet } from "./commands/get.ts";
import { defineLag } from "./commands/lag.ts";
import { defineInstall, defineUpgrade } from "./commands/install.ts";
import { defineExport } from "./commands/export.ts";
import { defineImport } from "./commands/import.ts";
import { defineLast } from "./commands/last.ts";
import { definePark, defineSkip } from "./commands/park.ts";
import { defineParked } from "./commands/parked.ts";
import { definePrune } from "./commands/prune.ts";
import { defineRead } from "./commands/read.ts";
import { defineStreams } from "./commands/streams.ts";
import { defineTrace } from "./commands/trace.ts";
import { defineTypes } from "./commands/types.ts";
import { defineRemove } from "./commands/remove.ts";
import { defineRewind } from "./commands/rewind.ts";
import { defineSettle } from "./commands/settle.ts";
import { defineStart } from "./commands/start.ts";
import { defineStudio } from "./commands/studio.ts";
import { defineUninstall } from "./commands/uninstall.ts";
import { defineVerify } from "./commands/verify.ts";
import { defineVersion } from "./commands/version.ts";
import { defineWrite } from "./commands/write.ts";
import { defineWriteBatch } from "./commands/write_batch.ts";
import { collectAddress, wholeNumber } from "./terminal/arguments.ts";

/** Defines the whole command line: each command is a file of `commands/`. */
export function makeProgram(): Command {
  const program = new Command("messagedb")
    .description("Read, write and operate a Message DB store")
    .version(packageJson.version, "-V, --version", "print the version");
  addGlobalOptions(program)
    .configureHelp({ showGlobalOptions: true })
    .helpCommand(false)
    .exitOverride()
    .showHelpAfterError("Run with --help to see what can be given.");

  program.commandsGroup("Set up:");
  defineStart(program);
  defineInstall(program);
  defineUpgrade(program);
  defineUninstall(program);
  defineDoctor(program);

  program.commandsGroup("Read and write:");
  defineWrite(program);
  defineWriteBatch(program);
  defineRead(program);
  defineLast(program);
  defineVersion(program);
  defineGet(program);

  program.commandsGroup("Look around:");
  defineCategories(program);
  defineStreams(program);
  defineTypes(program);
  defineTrace(program);
  defineStudio(program);

  program.commandsGroup("Consumers:");
  defineConsumers(program);
  defineLag(program);
  defineRewind(program);
  definePark(program);
  defineSkip(program);
  defineParked(program);
  definePrune(program);
  defineRemove(program);

  program.commandsGroup("Copy and check:");
  defineExport(program);
  defineImport(program);
  defineCopy(program);
  defineVerify(program);

  program.commandsGroup("Serve and measure:");
  defineGateway(program);
  defineSettle(program);
  defineBench(program);
  defineCompletion(program);

  return program;
}

/** Adds the options that all commands have. */
function addGlobalOptions(program: Command): Command {
  return program
    .option(
      "--url <address>",
      "postgres://… (of several servers: postgres://db1:5432,db2:5432/…) or a gateway's https://… " +
        "(default: DATABASE_URL); again for each partition",
      collectAddress,
    )
    .option("--token <token>", "the bearer token of a gateway (default: MESSAGEDB_TOKEN)")
    .option("--schema <name>", "the schema that Message DB is in (default: message_store)")
    .option("--partition <number>", "only this partition of several: from 0", wholeNumber(0))
    .option(
      "--partition-of <file>",
      "a module whose default export is the partitionOf of your programs",
    )
    .option("--json", "print JSON: an object, or a line each where there are many")
    .option("--debug", "print the stack of an error");
}
