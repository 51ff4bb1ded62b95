import { invalid } from "../../lib/invalid.ts";
import { checkInteger, checkOptions } from "../../names/_check.ts";
import type { Sql } from "../../types.ts";
import type { GatewayCall } from "./call.ts";
import { Refusal } from "./_problem.ts";
import type { GatewayOptions } from "./options.ts";

/** What a gateway's endpoints share: its options, checked, and the one way to have a call permitted. */
export interface Gateway {
  readonly sql: Sql;
  readonly basePath: string;
  readonly maxBodyBytes: number;
  readonly maxBatchSize: number;
  readonly cors: "*" | readonly string[];
  readonly onError: (error: unknown, request: Request) => void;
  readonly signal: AbortSignal | undefined;
  /** Resolves if all of it is within the limits and allowed; else rejects with what is not. */
  readonly permit: (request: Request, questions: readonly GatewayCall[]) => Promise<void>;
}

export function makeGateway(sql: Sql, options: GatewayOptions): Gateway {
  if (typeof sql !== "function") throw invalid("sql", sql, "a handle, as postgres() makes");
  checkOptions(options);
  const {
    authorize,
    basePath = "",
    maxBodyBytes = 1_048_576,
    maxBatchSize = 1000,
    cors = [],
    allowConditions = false,
    signal,
    // Without the query, which may tell who it is.
    onError = (error, { method, url }) => console.error(method, url.replace(/\?.*/s, ""), error),
  } = options;
  if (typeof authorize !== "function") {
    throw invalid("authorize", authorize, "a function that decides who may do what");
  }
  if (typeof basePath !== "string" || !isPath(basePath)) {
    throw invalid(
      "basePath",
      basePath,
      'a path that begins with "/" and does not end with it, or ""',
    );
  }
  checkInteger("maxBodyBytes", maxBodyBytes, 1);
  checkInteger("maxBatchSize", maxBatchSize, 1);
  if (cors !== "*" && !(Array.isArray(cors) && cors.every((it) => typeof it === "string"))) {
    throw invalid("cors", cors, 'origins in an array, or "*"');
  }
  if (typeof allowConditions !== "boolean") {
    throw invalid("allowConditions", allowConditions, "true or false");
  }
  if (signal !== undefined && typeof signal.addEventListener !== "function") {
    throw invalid("signal", signal, "an AbortSignal");
  }
  if (typeof onError !== "function") throw invalid("onError", onError, "a function");

  const report: Gateway["onError"] = async (error, request) => {
    try {
      await onError(error, request);
    } catch {
      // What hears of errors has failed, too: nobody is left to tell.
    }
  };
  const permit: Gateway["permit"] = async (request, questions) => {
    checkSize(questions, maxBatchSize);
    for (const ask of questions) {
      if (ask.condition !== undefined && !allowConditions) {
        throw new Refusal(403, "Cannot read with a condition: this gateway does not allow any");
      }
      let allowed;
      try {
        allowed = await authorize(request, ask);
      } catch (error) {
        // A token that cannot be read, more often than not: no reason for a status of 500.
        report(error, request);
      }
      if (allowed !== true) throw new Refusal(403, `Cannot ${phrase(ask)}: it is not allowed`);
    }
  };
  return { sql, basePath, maxBodyBytes, maxBatchSize, cors, signal, onError: report, permit };
}

/** Whether it is a path as requests have it: "/a b" arrives as "/a%20b". */
function isPath(path: string): boolean {
  return path === "" || (/[^/]$/.test(path) && URL.canParse(path, "http://gateway") &&
    new URL(path, "http://gateway").pathname === path);
}

/** Refuses what is more than a call may have: before any work is done for each of them. */
export function checkCount(count: number, maxBatchSize: number): void {
  if (count <= maxBatchSize) return;
  throw new Refusal(
    422,
    `Cannot do this with ${count} messages: a call may have ${maxBatchSize} at most`,
    { maxBatchSize },
  );
}

function checkSize(questions: readonly GatewayCall[], maxBatchSize: number): void {
  const sizes = questions.map(({ batchSize, ids, messages }) =>
    batchSize ?? ids?.length ?? messages?.length ?? 0
  );
  checkCount(sizes.reduce((sum, size) => sum + size, 0), maxBatchSize);
}

/** `write to stream "account-1"`, `call categories` */
function phrase({ operation, writes, streamName, category }: GatewayCall): string {
  const verb = writes ? "write to" : "read";
  if (streamName !== undefined) return `${verb} stream ${JSON.stringify(streamName)}`;
  return category === undefined
    ? `call ${operation}`
    : `${verb} category ${JSON.stringify(category)}`;
}
