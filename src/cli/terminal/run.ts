import { type Command, CommanderError } from "commander";
import process from "node:process";
import { CommandError, EXIT_CODE, type ExitCode } from "./exit_code.ts";
import { describeFailure, type Failure } from "./failure.ts";
import { fileProblem } from "./file_problem.ts";
import { makeOutput, type Output, outputOf } from "./output.ts";
import {
  openOneDatabase,
  openServer,
  openStore,
  type PartitionPlace,
  placesIn,
  type PostgresStore,
  type Store,
  storeAddress,
  type StoreOptions,
} from "./store.ts";

/** Options that all commands have. */
export interface GlobalOptions extends StoreOptions {
  readonly json?: boolean | undefined;
  readonly debug?: boolean | undefined;
}

/** What every command gets. */
export interface Context {
  readonly output: Output;
  /** Aborts at Ctrl-C, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal;
  /** The options that all commands have. */
  readonly options: GlobalOptions;
  /** The address of the store, without a password. */
  readonly address: string;
}

/** What the work of a command gets that does one database after the other. */
export interface InDatabase {
  /** Which partition the database is; undefined in a store of one database. */
  readonly place: PartitionPlace | undefined;
}

/** A command's work: it answers its exit code if that is not 0. */
type Work<Given, Arguments extends unknown[]> = (
  context: Context & Given,
  ...args: Arguments
) => Promise<ExitCode | void>;

/** Tells of a failure, and answers the exit code. */
type FailureReport = (failure: Failure, context: Context) => Promise<ExitCode>;

/** What commander calls: with the arguments, the options, and the command. */
type Action<Arguments extends unknown[]> = (...args: [...Arguments, Command]) => Promise<void>;

/** The action of a command that needs no store. */
export function withOutput<Arguments extends unknown[]>(
  work: Work<unknown, Arguments>,
): Action<Arguments> {
  return (...args) => run(args, work);
}

/** The action of a command that reads or writes messages: on PostgreSQL, or over a gateway. */
export function withStore<Arguments extends unknown[]>(
  work: Work<Pick<Store, "sql">, Arguments>,
): Action<Arguments> {
  return withOpened(openStore, askStore, work);
}

/** The action of a command that needs PostgreSQL with Message DB in it. */
export function withPostgres<Arguments extends unknown[]>(
  work: Work<Pick<Store, "sql">, Arguments>,
  report?: FailureReport,
): Action<Arguments> {
  return withOpened(openServer, askStore, work, report);
}

/** The action of a command that goes from one database of the store to the next, with Message DB in each. */
export function withEachPostgres<Arguments extends unknown[]>(
  work: Work<Pick<Store, "sql"> & InDatabase, Arguments>,
): Action<Arguments> {
  return withEach(openServer, askStore, work);
}

/** How a command goes from one database to the next. */
export interface EachOptions<Arguments extends unknown[]> {
  readonly report?: FailureReport;
  /** Whether it goes on after a database in which it failed. */
  readonly goesOn?: boolean;
  /** Makes the line in front of what is printed of a partition. */
  readonly heading?: (text: string, ...args: Arguments) => string;
}

/** The action of a command that goes from one PostgreSQL of the store to the next, whatever is in it. */
export function withServer<Arguments extends unknown[]>(
  work: Work<Pick<PostgresStore, "sql"> & InDatabase, Arguments>,
  options?: EachOptions<Arguments>,
): Action<Arguments> {
  // An error of the database is an answer, too: the command knows what to do about it.
  const askServer = (server: PostgresStore) =>
    askStore(server).catch((error) => {
      if (describeFailure(error, "").isUnreachable) throw error;
    });
  return withEach(openOneDatabase, askServer, work, options);
}

/**
 * Asks a store for its version: that is answered where there is a Message DB that the role may use. Of several
 * partitions, one has to answer: what concerns another may work while the rest is down.
 */
export async function askStore({ sql }: Pick<Store, "sql">): Promise<void> {
  const { messageStoreVersion, partitions } = await import("@messagedb/client");
  await Promise.any(partitions(sql).map((partition) => messageStoreVersion(partition)))
    .catch(({ errors: [first] }: AggregateError) => {
      throw first;
    });
}

function withOpened<Opened extends Store, Arguments extends unknown[]>(
  open: (options: StoreOptions) => Promise<Opened>,
  tryFirst: (opened: Opened) => Promise<void>,
  work: Work<Pick<Opened, "sql">, Arguments>,
  report?: FailureReport,
): Action<Arguments> {
  return (...args) =>
    run(
      args,
      (context, ...rest: Arguments) =>
        workOn(open, tryFirst, context, (opened) => work({ ...context, sql: opened.sql }, ...rest)),
      report,
    );
}

function withEach<Opened extends Store, Arguments extends unknown[]>(
  open: (options: StoreOptions) => Promise<Opened>,
  tryFirst: (opened: Opened) => Promise<void>,
  work: Work<Pick<Opened, "sql"> & InDatabase, Arguments>,
  { report = reportError, goesOn = false, heading }: EachOptions<Arguments> = {},
): Action<Arguments> {
  return (...args) =>
    run(args, async (context, ...rest: Arguments) => {
      const places = placesIn(context.options);
      let exitCode: ExitCode = EXIT_CODE.done;
      for (const place of places) {
        const own = place === undefined ? context : contextOf(context, place);
        if (place !== undefined && places.length > 1 && !own.output.isJson) {
          const text = `partition ${place.number} of ${place.of}`;
          await own.output.print(heading?.(text, ...rest) ?? text);
        }
        const code = await workOn(
          open,
          tryFirst,
          own,
          (opened) => work({ ...own, place, sql: opened.sql }, ...rest),
        ).catch((error) => tellFailure(error, own, report)) ?? EXIT_CODE.done;
        exitCode = Math.max(exitCode, code);
        if (code !== EXIT_CODE.done && !goesOn) break;
      }
      return exitCode;
    });
}

/** The context of one partition: what it prints as JSON names the partition. */
function contextOf({ output, options, ...context }: Context, { number }: PartitionPlace): Context {
  const own = { ...options, partition: number };
  return {
    ...context,
    options: own,
    address: storeAddress(own),
    output: outputOf(output, { partition: number }),
  };
}

/** A store is tried first: what follows it would wait for a server that is not there. */
async function workOn<Opened extends Store, Answer>(
  open: (options: StoreOptions) => Promise<Opened>,
  tryFirst: (opened: Opened) => Promise<void>,
  context: Context,
  work: (opened: Opened) => Promise<Answer>,
): Promise<Answer> {
  const opened = await open(context.options);
  try {
    await firstAnswer(tryFirst(opened), context);
    return await work(opened);
  } finally {
    await opened.end();
  }
}

/** How long a store may take until it answers for the first time, in milliseconds. */
const FIRST_ANSWER_TIMEOUT = 15_000;

/**
 * Waits for the first answer of a store, until Ctrl-C, and not for ever: postgres.js connects again and again where
 * each connection is closed at once, as by a tunnel that leads nowhere.
 */
export async function firstAnswer<T>(
  answer: Promise<T>,
  { signal, address }: Pick<Context, "signal" | "address">,
): Promise<T> {
  const patience = AbortSignal.timeout(FIRST_ANSWER_TIMEOUT);
  try {
    return await unlessInterrupted(answer, AbortSignal.any([signal, patience]));
  } catch (error) {
    signal.throwIfAborted();
    if (error !== patience.reason) throw error;
    throw new CommandError(
      `Cannot reach ${address}: it gives no answer, or closes each connection before it answers`,
      EXIT_CODE.noStore,
    );
  }
}

async function run<Arguments extends unknown[]>(
  args: [...Arguments, Command],
  work: Work<unknown, Arguments>,
  report: FailureReport = reportError,
): Promise<void> {
  const command = args.at(-1) as Command;
  const options = command.optsWithGlobals<GlobalOptions>();
  const output = makeOutput({ isJson: options.json === true });
  const interruption = new AbortController();
  const interrupt = () => {
    if (interruption.signal.aborted) process.exit(EXIT_CODE.interrupted);
    interruption.abort();
    if (!isServing(command)) setTimeout(giveUp, INTERRUPTION_TIMEOUT, output).unref();
  };
  for (const name of SIGNALS) process.on(name, interrupt);
  const context: Context = {
    output,
    signal: interruption.signal,
    options,
    address: storeAddress(options),
  };
  try {
    process.exitCode = await work(context, ...args.slice(0, -1) as Arguments) ?? EXIT_CODE.done;
  } catch (error) {
    if (error === interruption.signal.reason) process.exitCode = EXIT_CODE.interrupted;
    else process.exitCode = await tellFailure(error, context, report);
  } finally {
    for (const name of SIGNALS) process.off(name, interrupt);
    output.progress();
  }
  // The server keeps a closed connection open until its statement ends, which may wait for a lock.
  if (process.exitCode === EXIT_CODE.interrupted) process.exit();
}

async function tellFailure(
  error: unknown,
  context: Context,
  report: FailureReport,
): Promise<ExitCode> {
  if (error === context.signal.reason) throw error;
  const exitCode = await report(describeFailure(error, context.address), context);
  if (context.options.debug) console.error(error);
  return exitCode;
}

/** What ends a command: Ctrl-C, a supervisor, and a terminal that is closed. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** How long a command may take to end after Ctrl-C, in milliseconds. */
const INTERRUPTION_TIMEOUT = 3000;

/** A gateway lets requests end, and a server its transactions. */
function isServing(command: Command): boolean {
  return command.name() === "gateway" || command.name() === "start";
}

/** Ends a command that waits for the server after Ctrl-C: for a lock, as a rule. */
function giveUp(output: Output): void {
  output.note(
    "Interrupted while the server was at work: what was sent to it may still be done. " +
      "A write that had an --id can be sent again",
  );
  process.exit(EXIT_CODE.interrupted);
}

/** Tells of a failure on standard error. */
export function reportError({ text, exitCode }: Failure, { output }: Context): Promise<ExitCode> {
  if (text !== "") output.note(`error: ${text}`);
  return Promise.resolve(exitCode);
}

/** Waits for work that knows nothing of the signal, until Ctrl-C. */
export async function unlessInterrupted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let interrupt = (): void => {};
  const interrupted = new Promise<never>((_, reject) => {
    interrupt = () => reject(signal.reason);
    if (signal.aborted) interrupt();
    else signal.addEventListener("abort", interrupt);
  });
  try {
    return await Promise.race([work, interrupted]);
  } finally {
    signal.removeEventListener("abort", interrupt);
  }
}

/** Runs the program: errors of its use are commander's, with exit code 2. */
export async function runProgram(program: Command, argv: readonly string[]): Promise<void> {
  const isLag = commandIn(program, argv) === "lag";
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever read the output has read enough: `messagedb read account | head`.
    if (error.code === "EPIPE") process.exit(EXIT_CODE.done);
    process.stderr.write(`error: Cannot write to standard output: ${fileProblem(error)}\n`);
    process.exit(isLag ? EXIT_CODE.unknownLag : EXIT_CODE.failed);
  });
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const { exitCode } = describeFailure(error, "");
    // An option of every command fails before "lag" is asked. For monitoring, 2 would mean critical.
    process.exitCode = isLag && exitCode === EXIT_CODE.badUse ? EXIT_CODE.unknownLag : exitCode;
  }
}

function commandIn({ commands }: Command, argv: readonly string[]): string | undefined {
  return argv.find((argument) => commands.some((it) => it.name() === argument));
}
