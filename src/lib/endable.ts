import { isPromise } from "./promise.ts";
import { abortable } from "./wait.ts";

/**
 * Makes a generator whose `return()` and `throw()` end its wait.
 *
 * JavaScript puts both behind a `next()` that waits: for ever, if nothing comes. So they abort the
 * generator's controller first.
 *
 * @param generate Makes the generator. Its waits end when the controller aborts.
 */
export function endable<T>(
  generate: (ending: AbortController) => AsyncGenerator<T, void, undefined>,
): AsyncGenerator<T, void, undefined> {
  const ending = new AbortController();
  const generator = generate(ending);
  const end = generator.return.bind(generator);
  generator.return = (value) => {
    ending.abort();
    return end(value);
  };
  generator.throw = async (error) => {
    await generator.return();
    throw error;
  };
  return generator;
}

/** The value, or what its promise resolves to. Rejects with the signal's reason if the signal aborts first. */
export function abortableValue<T>(value: T | Promise<T>, signal: AbortSignal): T | Promise<T> {
  return isPromise(value) ? abortable(value as Promise<T>, signal) : value;
}
