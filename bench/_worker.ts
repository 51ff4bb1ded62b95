/** The process of a way: it reads jobs from stdin, a line each, and writes what they took to stdout. */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { createInterface } from "node:readline";
import { type Client, type Connect, END, type Job, type Outcome, streamOf } from "./_job.ts";
import { forgetPeakMemory, peakMemoryOf } from "./_processes.ts";
import { warmUp } from "./_warm_up.ts";

const [, , peer, way] = process.argv;
const connect: Connect = (await import(`./peers/${peer}.ts`))[way!];

// Whoever gave the jobs is gone.
process.stdin.on("end", () => process.exit());
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(JSON.parse(line))));
}

async function run(job: Job): Promise<Outcome> {
  const client = connect(job.url, job.connections);
  try {
    // Connects, and prepares the statements: PostgreSQL plans each anew the first five times.
    const batchSize = Math.min(10, job.batchSize);
    const { warmUp: _, ...connecting } = job;
    await perform(client, {
      ...connecting,
      name: `w${job.name}`,
      batchSize,
      count: 8 * job.connections * batchSize,
      position: END,
    });
    forgetPeakMemory();
    const before = process.cpuUsage();
    const start = performance.now();
    const { messages, latencies } = await perform(client, job);
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(before);
    const memory = peakMemoryOf(process.pid);
    return {
      messages,
      seconds,
      latencies,
      cpu: (user + system) / 1000,
      ...memory === undefined ? {} : { memory },
    };
  } finally {
    await client.close();
  }
}

async function perform(
  client: Client,
  job: Job,
): Promise<{ readonly messages: number; readonly latencies: readonly number[] }> {
  const { operation, name, count, batchSize, streams, inFlight, message, position } = job;
  const batch = Array.from({ length: batchSize }, () => message);
  const isWarm = job.warmUp === undefined ? undefined : warmUp(job.warmUp);
  const calls = isWarm ? Infinity : {
    write: count,
    writeBatch: count / batchSize,
    readStream: count / batchSize,
    fetch: count / batchSize,
    readCategory: inFlight,
    readAll: 1,
  }[operation];
  const once = async (worker: number, call: number): Promise<number> => {
    switch (operation) {
      case "write":
        await client.write!(streamOf(job, worker), message);
        return 1;
      case "writeBatch":
        await client.writeBatch!(`${name}-${call}`, batch);
        return batchSize;
      case "readStream":
        return await client.readStream!(`${name}-${call % streams}`, batchSize);
      case "fetch":
        return await client.fetch!(name, String(call % streams));
      case "readCategory": {
        const group = inFlight === 1 ? undefined : { member: worker, size: inFlight };
        return await client.readCategory!(name, batchSize, group);
      }
      case "readAll":
        return await client.readAll!(position, batchSize, count);
    }
  };
  let begun = 0;
  let isOver = false;
  let messages = 0;
  const latencies: number[] = [];
  await Promise.all(
    Array.from({ length: inFlight }, async (_, worker) => {
      while (begun < calls && !isOver) {
        const call = begun++;
        const start = performance.now();
        // Awaited before the sum is read, or what the others add meanwhile is lost.
        const done = await once(worker, call);
        const end = performance.now();
        messages += done;
        latencies.push(end - start);
        isOver ||= isWarm?.(end - start, end) ?? false;
      }
    }),
  );
  return { messages, latencies };
}
