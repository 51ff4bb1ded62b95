import type { OperationName, StudioApi, StudioProblem } from "../../_api.ts";
import { BASE } from "./place.ts";

export type CallArguments<Name extends OperationName> = StudioApi[Name]["arguments"];
export type CallAnswer<Name extends OperationName> = StudioApi[Name]["answer"];

/** What a view shows when an operation fails. */
export interface CallFailure {
  readonly title: string;
  readonly detail: string;
  /** The status of the answer; 0 if none came. */
  readonly status: number;
}

/** What an operation is called with besides. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  /**
   * That the page asks by itself, and what it knows of the store: the answer may be that of another page which knew
   * the same.
   */
  readonly again?: string | undefined;
  /** Milliseconds after which the answer is not waited for any more; for ever if left out. */
  readonly within?: number | undefined;
}

/** So many milliseconds the page waits for what is new: a bit longer than the studio waits for a partition. */
export const ANSWER_WITHIN = 12_000;
const NO_ANSWER: CallFailure = failed(
  0,
  "The studio does not answer",
  `No answer came within ${ANSWER_WITHIN / 1000} seconds`,
);

/** Says that it is not the page's turn: it is to ask later. */
export const NOT_YET: CallFailure = failed(204, "Later", "Other pages have asked before this one");

/** Calls an operation of the server. Rejects with a `CallFailure`, with `NOT_YET`, or with the signal's reason. */
export async function call<Name extends OperationName>(
  operation: Name,
  args: CallArguments<Name>,
  { signal, within, again }: CallOptions = {},
): Promise<CallAnswer<Name>> {
  const late = new AbortController();
  const timer = within && setTimeout(() => late.abort(NO_ANSWER), within);
  const ending = signal ? AbortSignal.any([signal, late.signal]) : late.signal;
  try {
    return await send(operation, args, ending, again);
  } catch (error) {
    ending.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function send<Name extends OperationName>(
  operation: Name,
  args: CallArguments<Name>,
  signal: AbortSignal,
  again: string | undefined,
): Promise<CallAnswer<Name>> {
  const response = await fetch(`${BASE}/api/${operation}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "x-messagedb-studio": "1",
      ...(again !== undefined && { "x-messagedb-again": again }),
    },
    body: JSON.stringify(args),
    redirect: "manual",
    signal,
  }).catch((error) => {
    throw failed(0, "The studio does not answer", String(error?.message ?? error));
  });
  if (response.type === "opaqueredirect" || response.status === 401) {
    throw failed(401, "Not logged in", "Log in again: reload the page");
  }
  if (response.status === 204) throw NOT_YET;
  if (!response.ok) throw await failureOf(response);
  return await response.json();
}

export function isFailure(error: unknown): error is CallFailure {
  return typeof (error as CallFailure | undefined)?.detail === "string";
}

/** What to show of anything that was thrown. */
export function asFailure(error: unknown): CallFailure {
  if (isFailure(error)) return error;
  return failed(0, "The page failed", String((error as Error | undefined)?.message ?? error));
}

/** What a failure is, in one sentence. What the browser says of an answer that did not come tells nobody anything. */
export function failureText({ status, title, detail }: CallFailure): string {
  return status === 0 ? title : detail;
}

async function failureOf(response: Response): Promise<CallFailure> {
  const title = `The studio answered ${response.status}`;
  try {
    const problem: Partial<StudioProblem> = await response.json();
    return failed(response.status, problem.title ?? title, problem.detail ?? title);
  } catch {
    return failed(response.status, title, response.statusText || title);
  }
}

function failed(status: number, title: string, detail: string): CallFailure {
  return { status, title, detail };
}
