/** A random UUID, also on a page that was loaded over plain HTTP, where browsers leave `randomUUID` out. */
export function randomUuid(): string {
  return crypto.randomUUID?.() ??
    "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (digit) => {
      const random = crypto.getRandomValues(new Uint8Array(1))[0]!;
      // Of the digit 8, which says the variant, two bits are random.
      return (+digit ^ random & (15 >> +digit / 4)).toString(16);
    });
}
