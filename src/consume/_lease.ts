import type { LastMessage } from "./_read_last_messages.ts";

/**
 * The claim of one process to a position stream.
 *
 * The last message of the stream is the claim: its metadata names the owner, and how long the claim
 * holds from when the message was written. Each position that the owner records renews the claim.
 */
export interface Lease {
  readonly owner: string;
  /** In milliseconds. */
  readonly leaseDuration: number;
}

/** Another process has taken over the position stream. */
export class LeaseLostError extends Error {}

/** The owner of a position stream, by its last message; undefined if no lease holds. */
export function holderOf({ metadata, age }: LastMessage): string | undefined {
  const { owner, leaseDuration } = metadata ?? {};
  return typeof owner === "string" && age < Number(leaseDuration) ? owner : undefined;
}
