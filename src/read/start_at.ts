/**
 * Where to start: at a position, which is included; at the `"beginning"`; at the `"end"`, after all
 * messages that are there; or, for a `Date`, at the first message that was written then or later. A
 * `Date` after the last message is the end. There is no index of times: PostgreSQL goes through the
 * messages before that one, which takes about a second for a million.
 */
export type StartAt = number | "beginning" | "end" | Date;
