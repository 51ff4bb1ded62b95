import process from "node:process";

/** What the programs of the fleet share: they end when the test does, in whichever way that ends. */
export function untilToldToStop(): AbortSignal {
  const stopping = new AbortController();
  process.on("SIGTERM", () => stopping.abort());
  process.stdin.resume().on("close", () => process.exit(1));
  return stopping.signal;
}

/** Mulberry32: numbers from 0 up to 1. */
export function randomOf(seed: number): () => number {
  return () => {
    seed = seed + 0x6d2b79f5 | 0;
    let it = Math.imul(seed ^ seed >>> 15, seed | 1);
    it ^= it + Math.imul(it ^ it >>> 7, it | 61);
    return ((it ^ it >>> 14) >>> 0) / 2 ** 32;
  };
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
