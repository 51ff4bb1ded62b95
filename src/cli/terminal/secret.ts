import { createHash, timingSafeEqual } from "node:crypto";

/** Makes the function that compares with a secret, in a time that tells nothing of the secret. */
export function compareWith(secret: string): (given: string) => boolean {
  // Digests are of one length.
  const digest = (text: string) => createHash("sha256").update(text).digest();
  const expected = digest(secret);
  return (given) => timingSafeEqual(digest(given), expected);
}

/** The bearer token of a request; undefined if there is none. */
export function bearerOf({ headers }: Request): string | undefined {
  return /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
}
