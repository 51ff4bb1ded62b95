/** Is told of an error, and of the request that failed. */
export type ErrorListener = (error: unknown, request: Request) => void;

export function logError(error: unknown, { method, url }: Request): void {
  // The query is left out, because it may hold an access token, or what people searched for.
  console.error(method, url.replace(/\?.*/s, ""), error);
}

export function neverThrowing(onError: ErrorListener): ErrorListener {
  return async (error, request) => {
    try {
      await onError(error, request);
    } catch {
      // The function that is told of errors has failed too, so nobody is left to tell.
    }
  };
}
