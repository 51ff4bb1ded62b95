/** What was thrown, which may be `undefined`: as the options of an error that it causes. */
export interface Thrown {
  readonly cause: unknown;
}
