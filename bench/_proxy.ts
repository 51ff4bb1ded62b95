/**
 * The process of a proxy that adds a round trip: it delays what passes, by half of it each way, in order
 * and however much it is. It takes the address and the milliseconds, and prints its port.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import process from "node:process";

const [, , host, port, roundTrip] = process.argv;
/** What waking up and passing on take besides, about, in milliseconds. */
const overhead = 0.15;
const delay = Number(roundTrip) / 2 - overhead;
const waiting: { readonly due: number; readonly pass: () => void }[] = [];
const clock = new Int32Array(new SharedArrayBuffer(4));
let first = 0;

/** Timers are a millisecond apart at best, a wait for memory that never changes is not. */
function passOn(): void {
  Atomics.wait(clock, 0, 0, Math.min(0.1, Math.max(0, waiting[first]!.due - performance.now())));
  const now = performance.now();
  while (first < waiting.length && waiting[first]!.due <= now) waiting[first++]!.pass();
  if (first === waiting.length) {
    waiting.length = first = 0;
  } else {
    if (first > 1000) waiting.splice(0, first), first = 0;
    setImmediate(passOn);
  }
}

function after(pass: () => void): void {
  waiting.push({ due: performance.now() + delay, pass });
  if (waiting.length === 1) setImmediate(passOn);
}

function join(from: Socket, to: Socket): void {
  from.setNoDelay(true);
  from.on("data", (chunk) => after(() => to.writable && to.write(chunk)));
  from.on("end", () => after(() => to.end()));
  from.on("error", () => to.destroy());
  from.on("close", () => after(() => to.destroy()));
}

const server = createServer((client) => {
  const database = connect(Number(port), host);
  join(client, database);
  join(database, client);
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
process.stdin.on("end", () => process.exit()).resume();
