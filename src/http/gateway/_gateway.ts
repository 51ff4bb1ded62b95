import { invalid } from "../../lib/invalid.ts";
import type { Underway } from "../../lib/share_work.ts";
import { checkInteger, checkOptions, checkSignal } from "../../names/_check.ts";
import type { Page } from "../../read/_page.ts";
import type { Sql } from "../../types.ts";
import { logError, neverThrowing } from "./_error_listener.ts";
import { limitAnswers } from "./_limit_answers.ts";
import type { GatewayOptions } from "./options.ts";
import { isPlainPath } from "./_plain_path.ts";

/** What the endpoints of a gateway share: its handle and its options, checked and with their defaults. */
export interface Gateway {
  /** The handle, which refuses what would answer more than `maxAnswerBytes`. */
  readonly sql: Sql;
  /** The handle for what the gateway reads back itself, with a limit that any request that it takes is below. */
  readonly readBackSql: Sql;
  readonly authorize: GatewayOptions["authorize"];
  readonly basePath: string;
  readonly maxBodyBytes: number;
  readonly maxBatchSize: number;
  readonly maxAnswerBytes: number;
  readonly maxFollowers: number;
  readonly cors: "*" | readonly string[];
  readonly allowConditions: boolean;
  readonly signal: AbortSignal | undefined;
  /** Never throws. */
  readonly onError: (error: unknown, request: Request) => void;
  readonly followers: Followers;
}

/** A page, with the events that tell its messages: who follow the same are sent the same. */
export interface LivePage extends Omit<Page, "messages"> {
  readonly events: string;
}

/** The live reads of a gateway. */
export interface Followers {
  count: number;
  /** The reads that are under way, by what they read and from where. */
  readonly reads: Map<string, Underway<LivePage>>;
}

export function makeGateway(sql: Sql, options: GatewayOptions): Gateway {
  if (typeof sql !== "function") throw invalid("sql", sql, "a handle, as postgres() makes");
  checkOptions(options, {
    authorize: true,
    basePath: true,
    maxBodyBytes: true,
    maxBatchSize: true,
    maxAnswerBytes: true,
    maxFollowers: true,
    cors: true,
    allowConditions: true,
    signal: true,
    onError: true,
  });
  const gateway = withDefaults(options);
  checkSettings(gateway);
  return {
    ...gateway,
    sql: limitAnswers(sql, gateway.maxAnswerBytes),
    // PostgreSQL writes JSON with more spaces.
    readBackSql: limitAnswers(sql, Math.max(gateway.maxAnswerBytes, 4 * gateway.maxBodyBytes)),
    onError: neverThrowing(gateway.onError),
    followers: { count: 0, reads: new Map() },
  };
}

/** The options, checked and with their defaults. */
type Settings = Omit<Gateway, "sql" | "readBackSql" | "followers">;

function withDefaults(options: GatewayOptions): Settings {
  const {
    authorize,
    basePath = "",
    maxBodyBytes = 1_048_576,
    maxBatchSize = 1000,
    maxAnswerBytes = 16_777_216,
    maxFollowers = 1000,
    cors = [],
    allowConditions = false,
    signal,
    onError = logError,
  } = options;
  return {
    authorize,
    basePath,
    maxBodyBytes,
    maxBatchSize,
    maxAnswerBytes,
    maxFollowers,
    cors,
    allowConditions,
    signal,
    onError,
  };
}

function checkSettings(gateway: Settings): void {
  const {
    authorize,
    basePath,
    maxBodyBytes,
    maxBatchSize,
    maxAnswerBytes,
    maxFollowers,
    cors,
    allowConditions,
    signal,
    onError,
  } = gateway;
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
  checkInteger("maxAnswerBytes", maxAnswerBytes, 1);
  checkInteger("maxFollowers", maxFollowers, 1);
  if (cors !== "*" && !(Array.isArray(cors) && cors.every((it) => typeof it === "string"))) {
    throw invalid("cors", cors, 'origins in an array, or "*"');
  }
  if (typeof allowConditions !== "boolean") {
    throw invalid("allowConditions", allowConditions, "true or false");
  }
  checkSignal(signal);
  if (typeof onError !== "function") throw invalid("onError", onError, "a function");
}

function isPath(path: string): boolean {
  return path === "" || /[^/]$/.test(path) && isPlainPath(path);
}
