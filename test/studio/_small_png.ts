import { crc32, deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");
const MOST_COLORS = 256;

/** Makes a PNG of a screenshot smaller: with a palette of its 256 most frequent colors, the others become the nearest. */
export function smallPng(png: Buffer): Buffer {
  const { width, height, bytes, pixel } = decode(png);
  const counts = new Map<number, number>();
  for (let at = 0; at < bytes.length; at += pixel) {
    const color = bytes.readUIntBE(at, 3);
    counts.set(color, (counts.get(color) ?? 0) + 1);
  }
  const palette = paletteOf(counts);
  const places = new Map([...counts.keys()].map((color) => [color, nearest(color, palette)]));
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const color = bytes.readUIntBE((y * width + x) * pixel, 3);
      rows[y * (width + 1) + 1 + x] = places.get(color)!;
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    chunk("IHDR", head),
    chunk("PLTE", Buffer.from(palette.flatMap((it) => [it >> 16, it >> 8 & 255, it & 255]))),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** The most frequent color of each hue, so that none is lost, and then the most frequent ones. */
function paletteOf(counts: ReadonlyMap<number, number>): number[] {
  const byCount = [...counts].sort(([, a], [, b]) => b - a).map(([color]) => color);
  const hues = new Map<number, number>();
  for (const color of byCount) {
    const hue = color >> 5 & 0x070707;
    if (!hues.has(hue)) hues.set(hue, color);
  }
  return [...new Set([...hues.values(), ...byCount])].slice(0, MOST_COLORS);
}

function nearest(color: number, palette: readonly number[]): number {
  const parts = (it: number) => [it >> 16, it >> 8 & 255, it & 255] as const;
  const [red, green, blue] = parts(color);
  let best = 0;
  let least = Infinity;
  for (const [place, it] of palette.entries()) {
    const [r, g, b] = parts(it);
    const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
    if (distance < least) [best, least] = [place, distance];
  }
  return best;
}

/** The pixels of a PNG with 8 bits for each color, and not interlaced: as Chromium makes them. */
function decode(png: Buffer) {
  const width = png.readUInt32BE(16);
  const height = png.readUInt32BE(20);
  const pixel = png[25] === 6 ? 4 : 3;
  const parts: Buffer[] = [];
  for (let at = 8; at < png.length;) {
    const length = png.readUInt32BE(at);
    if (png.toString("latin1", at + 4, at + 8) === "IDAT") {
      parts.push(png.subarray(at + 8, at + 8 + length));
    }
    at += length + 12;
  }
  const filtered = inflateSync(Buffer.concat(parts));
  const row = width * pixel;
  const bytes = Buffer.alloc(row * height);
  for (let y = 0; y < height; y++) {
    const filter = filtered[y * (row + 1)]!;
    for (let x = 0; x < row; x++) {
      const left = x < pixel ? 0 : bytes[y * row + x - pixel]!;
      const above = y === 0 ? 0 : bytes[(y - 1) * row + x]!;
      const corner = x < pixel || y === 0 ? 0 : bytes[(y - 1) * row + x - pixel]!;
      const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter]!;
      bytes[y * row + x] = filtered[y * (row + 1) + 1 + x]! + guess;
    }
  }
  return { width, height, bytes, pixel };
}

function paeth(left: number, above: number, corner: number): number {
  const guess = left + above - corner;
  const [a, b, c] = [left, above, corner].map((it) => Math.abs(guess - it)) as [
    number,
    number,
    number,
  ];
  return a <= b && a <= c ? left : b <= c ? above : corner;
}

function chunk(name: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
