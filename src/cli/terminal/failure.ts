import type { PartitionError } from "@messagedb/client";
import { CommanderError } from "commander";
import { CommandError, EXIT_CODE, type ExitCode } from "./exit_code.ts";

/** What is told of an error, and the exit code. */
export interface Failure {
  readonly text: string;
  readonly exitCode: ExitCode;
  /** Whether no server answered. */
  readonly isUnreachable?: boolean;
}

const REFUSED: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there: is the server running? "messagedb start" starts one',
  ENOTFOUND: "there is no host of this name",
  EAI_AGAIN: "the name of the host could not be looked up",
  EHOSTUNREACH: "no network leads there",
  ENETUNREACH: "no network leads there",
  ETIMEDOUT: "no answer came",
  CONNECT_TIMEOUT: "no answer came",
  CONNECTION_CLOSED: "the connection was closed",
  CONNECTION_ENDED: "the connection was ended",
  CONNECTION_DESTROYED: "the connection was ended",
  ECONNRESET: "the connection was closed",
  ENOENT: "there is no such socket",
  "57P01": "the server is shutting down",
  "57P02": "the server is shutting down",
  "57P03": "the server is starting up or shutting down",
};

/** Says in one sentence what went wrong at the server of this address. */
export function describeFailure(error: unknown, address: string): Failure {
  if (error instanceof CommandError) return { text: error.message, exitCode: error.exitCode };
  if (error instanceof CommanderError) return { text: "", exitCode: exitCodeOf(error) };
  const { code = "", name = "", message = String(error) } = (error ?? {}) as {
    readonly code?: string;
    readonly name?: string;
    readonly message?: string;
  };
  const { cause } = (error ?? {}) as { readonly cause?: { readonly code?: unknown } | null };
  const causeCode = cause?.code;
  if (causeCode === "3D000") return describeFailure(cause, address);
  const noStore = (text: string): Failure => ({ text, exitCode: EXIT_CODE.noStore });
  if (code === "NOT_INSTALLED") return noStore(`${toCommand(message)} (${address})`);
  if (code === "FETCH_FAILED") return fetchFailure(error as FetchFailure);
  if (code === "PARTITION") return partitionFailure(error as PartitionError);
  const isClosed = code === "55000" && message.includes("accepting connections");
  const refused = isClosed ? "the database takes no connections" : REFUSED[code];
  if (refused !== undefined) {
    const [, which = address] = IN_PARTITION.exec(message) ?? [];
    return { ...noStore(`Cannot reach ${which}: ${refused}`), isUnreachable: true };
  }
  if (code === "3D000") {
    return noStore(
      `${
        sentence(message)
      }: "messagedb install --create-database" creates the database with Message DB in it`,
    );
  }
  if (code === "25006") {
    const text = `${sentence(message)}: this server only reads, as a standby does. ` +
      "Connect to the primary to write";
    return { text, exitCode: EXIT_CODE.failed };
  }
  if (/^28/.test(code)) return noStore(`${address} refuses the user: ${message}`);
  if (message.includes(', which "grant ')) return noStore(message);
  if (code === "42501") return noStore(`The role lacks a right: ${message}`);
  // The sentence of install() says which right it is.
  if (causeCode === "42501") return noStore(message);
  if (code.startsWith("53300")) return noStore(`${address} has no connection left: ${message}`);
  if (name === "TypeError" || name === "RangeError") {
    return { text: message, exitCode: EXIT_CODE.badUse };
  }
  return { text: message, exitCode: EXIT_CODE.failed };
}

/** How an error of the connection begins that says which partition it is of. */
const IN_PARTITION = /^Cannot reach (partition \d+ of \d+): /;

function partitionFailure({ reason, message, cause }: PartitionError): Failure {
  switch (reason) {
    case "mark":
      return { text: toCommand(message), exitCode: EXIT_CODE.noStore };
    case "unanswered": {
      const { exitCode } = describeFailure(cause, "");
      return { text: message, exitCode };
    }
    default:
      return { text: toCommand(message), exitCode: EXIT_CODE.badUse };
  }
}

interface FetchFailure {
  readonly message: string;
  readonly status: number | null;
  readonly problem: string | null;
}

function fetchFailure({ message, status, problem }: FetchFailure): Failure {
  const advice = status === 401
    ? ": give the token with --token or MESSAGEDB_TOKEN"
    : problem === "UNKNOWN_STATEMENT"
    ? ": a gateway takes what reads and writes messages only; give the address of PostgreSQL"
    : status === 403
    ? ". Its rules do not allow this call with this --token (or MESSAGEDB_TOKEN), or without one"
    : "";
  return {
    text: message + advice,
    exitCode: status === 403 ? EXIT_CODE.failed : EXIT_CODE.noStore,
    isUnreachable: status === null,
  };
}

/** The library's sentence, with the command in place of the function. */
function toCommand(message: string): string {
  return message
    .replace(
      /install it with install\(sql(?:, \{ schema: "(\w+)" \})?\) of "@messagedb\/client\/install"/,
      (_, schema?: string) => `install it with "messagedb install${asOption(schema)}"`,
    )
    .replace(
      /which install\(sql(?:, \{ schema: "(\w+)" \})?\) mends/,
      (_, schema?: string) => `which "messagedb install${asOption(schema)}" mends`,
    )
    .replace(
      /which install\(sql, \{ partition: \{ number: \d+, of: \d+ \} \}\) does/,
      'which "messagedb install" with the addresses of all partitions does',
    )
    .replace(/, which "grant (\w+) to <role>" gives/, (_, schema: string) => rightsAdvice(schema))
    .replace("do it with each handle of partitions(sql)", "do it for each, with --partition N");
}

/** A tenant's role needs its own schema, and must not get the rights of another. */
function rightsAdvice(schema: string): string {
  return schema === "message_store"
    ? `: name the tenant's schema with --schema, if the role is a tenant's. If not, ` +
      '"grant message_store to <role>" gives them'
    : `: connect as a role of this tenant, as ${schema}, or name the schema of your role with --schema`;
}

function asOption(schema: string | undefined): string {
  return schema === undefined ? "" : ` --schema ${schema}`;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function exitCodeOf({ exitCode }: CommanderError): ExitCode {
  // commander has 1 for all errors. "lag" has its own.
  return exitCode === 1 ? EXIT_CODE.badUse : exitCode;
}
