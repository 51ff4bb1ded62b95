import { type Context, context, type Span, SpanKind } from "@opentelemetry/api";
import { type Described, describeOwn } from "./_described.ts";
import { errorTypeOf, failSpan } from "./_error_type.ts";
import { measure, statementAttributes, statementFailure } from "./_statement_span.ts";
import { secondsSince, type Telemetry } from "./_telemetry.ts";
import { endSpan } from "./_unfailing.ts";

type Begin = (...args: unknown[]) => unknown;

const COMMIT = describeOwn("COMMIT");
const ROLLBACK = describeOwn("ROLLBACK");

/**
 * Makes a driver's function that runs work in a transaction tell how long its COMMIT or ROLLBACK takes: the driver
 * sends that itself, when the work has ended.
 */
export function measuredBegin(telemetry: Telemetry, begin: Begin): Begin {
  return (...args) => {
    if (telemetry.isOff()) return begin(...args);
    const parent = context.active();
    let ending: Ending | undefined;
    const inWork = (work: unknown) =>
      typeof work !== "function" ? work : (handle: unknown) => {
        const working = work(handle);
        // Work may also answer a list of queries, which the driver sends before it ends the transaction.
        if (!(working instanceof Promise)) return working;
        return working.then((answer) => {
          ending = beginEnding(telemetry, COMMIT, parent);
          return answer;
        }, (error) => {
          ending = { ...beginEnding(telemetry, ROLLBACK, parent), thrown: error };
          throw error;
        });
      };
    const running = begin(...args.map(inWork));
    if (!(running instanceof Promise)) return running;
    return running.then((answer) => {
      if (ending) endTransaction(telemetry, ending);
      return answer;
    }, (error) => {
      if (ending) {
        endTransaction(telemetry, ending, error === ending.thrown ? undefined : { cause: error });
      }
      throw error;
    });
  };
}

/** A statement that ends a transaction, under way. */
interface Ending {
  readonly described: Described;
  readonly span: Span;
  readonly startedAt: number;
  /** What the work has thrown: the transaction rejects by it, and its end has not failed. */
  readonly thrown?: unknown;
}

function beginEnding(telemetry: Telemetry, described: Described, parent: Context): Ending {
  const attributes = statementAttributes(telemetry, described);
  const options = { kind: SpanKind.CLIENT, attributes };
  const span = telemetry.tracer.startSpan(described.summary, options, parent);
  return { described, span, startedAt: performance.now() };
}

function endTransaction(
  telemetry: Telemetry,
  { described, span, startedAt }: Ending,
  failed?: { readonly cause: unknown },
): void {
  const failure = failed && statementFailure(failed.cause);
  measure(telemetry, described, secondsSince(startedAt), failure);
  if (failed) {
    failSpan(span, errorTypeOf(failed.cause));
    span.setAttributes(failure!);
  }
  endSpan(span);
}
