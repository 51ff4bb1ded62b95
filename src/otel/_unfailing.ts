import { diag, type Span } from "@opentelemetry/api";
import { errorTypeOf } from "./_error_type.ts";

/**
 * Makes a function that does not throw. What a span processor, a sampler or a meter fails by does not stop the work:
 * a write that is stored must not look as if it had failed.
 *
 * @param otherwise What the function answers where it fails.
 */
export function unfailing<Arguments extends unknown[], Answer>(
  run: (...given: Arguments) => Answer,
  otherwise: Answer,
): (...given: Arguments) => Answer {
  return (...given) => {
    try {
      return run(...given);
    } catch (error) {
      diag.error(`@messagedb/client cannot tell what it does: ${errorTypeOf(error)}`);
      return otherwise;
    }
  };
}

export const endSpan: (span: Span) => void = unfailing((span: Span) => span.end(), undefined);
