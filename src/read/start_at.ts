/**
 * Where to start: a position, which is included; `"beginning"`; `"end"`, behind what is there; or the
 * first message that was written at this time or later (one that is yet to come is the end). There is
 * no index of times: the messages before it are passed over, which takes about a second for a million.
 */
export type StartAt = number | "beginning" | "end" | Date;
