/**
 * The SHA-256 of bytes (FIPS 180-4). On a page that was loaded over plain HTTP, browsers leave
 * `crypto.subtle` out: there it is computed here.
 */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return crypto.subtle
    ? new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
    : computeSha256(bytes);
}

function computeSha256(bytes: Uint8Array): Uint8Array {
  const { initial, rounds } = constants();
  // The bytes, then the bit 1, zeros up to a whole block, and the number of bits.
  const padded = new DataView(new ArrayBuffer((bytes.length + 72) >> 6 << 6));
  bytes.forEach((byte, at) => padded.setUint8(at, byte));
  padded.setUint8(bytes.length, 0x80);
  padded.setBigUint64(padded.byteLength - 8, BigInt(bytes.length) * 8n);
  const words = new Int32Array(64);
  for (let block = 0; block < padded.byteLength; block += 64) {
    for (let at = 0; at < 64; at++) {
      words[at] = at < 16 ? padded.getInt32(block + at * 4) : words[at - 16]! + words[at - 7]! +
        (rotate(words[at - 15]!, 7) ^ rotate(words[at - 15]!, 18) ^ words[at - 15]! >>> 3) +
        (rotate(words[at - 2]!, 17) ^ rotate(words[at - 2]!, 19) ^ words[at - 2]! >>> 10);
    }
    let [a, b, c, d, e, f, g, h] = initial as unknown as Eight;
    for (let at = 0; at < 64; at++) {
      const first = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (e & f ^ ~e & g) +
        rounds[at]! + words[at]!;
      const second = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + (a & b ^ a & c ^ b & c);
      [a, b, c, d, e, f, g, h] = [first + second | 0, a, b, c, d + first | 0, e, f, g];
    }
    [a, b, c, d, e, f, g, h].forEach((word, at) => initial[at]! += word);
  }
  const digest = new DataView(new ArrayBuffer(32));
  initial.forEach((word, at) => digest.setInt32(at * 4, word));
  return new Uint8Array(digest.buffer);
}

type Eight = [number, number, number, number, number, number, number, number];

function rotate(word: number, bits: number): number {
  return word >>> bits | word << 32 - bits;
}

/** The first 32 bits of the fractions of the square and of the cube roots of the first primes. */
function constants(): { readonly initial: Int32Array; readonly rounds: Int32Array } {
  const primes: number[] = [];
  for (let it = 2; primes.length < 64; it++) {
    if (primes.every((prime) => it % prime)) primes.push(it);
  }
  const fractions = (power: number) => primes.map((prime) => prime ** power % 1 * 2 ** 32 | 0);
  return {
    initial: Int32Array.from(fractions(1 / 2).slice(0, 8)),
    rounds: Int32Array.from(fractions(1 / 3)),
  };
}
