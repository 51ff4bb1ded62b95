/**
 * A thrown value, which may be `undefined`. It has the shape of `ErrorOptions`, so that an error can take
 * the value as its cause.
 */
export interface Thrown {
  readonly cause: unknown;
}
