import { spawn } from "node:child_process";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { END, type Job, type Outcome, type Runner } from "../_job.ts";
import { cpuOf, end, peakMemoryOf } from "../_processes.ts";

/** Copies the rows of a read to /dev/null, all at once: no client has them sooner. */
export function startPsql(program: string): Runner {
  return {
    async run(job) {
      const child = spawn(program, ["-XqAt", "-v", "ON_ERROR_STOP=1", job.url], {
        stdio: ["pipe", "pipe", "inherit"],
      });
      try {
        const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
        const answer = async (input: string): Promise<string> => {
          child.stdin.write(`${input}\n`);
          const { value, done } = await lines.next();
          if (done) throw new Error("psql ended");
          return value;
        };
        await answer(copy({ ...job, name: `w${job.name}`, position: END }));
        const before = cpuOf(child.pid!);
        const start = performance.now();
        await answer(copy(job));
        const seconds = (performance.now() - start) / 1000;
        const cpu = cpuOf(child.pid!);
        const memory = peakMemoryOf(child.pid!);
        // psql does not say how many it copied.
        const messages = Number(
          await answer(`\\o\nselect count(*) from (${rows(job)}) as copied;`),
        );
        return {
          messages,
          seconds,
          latencies: [seconds * 1000],
          ...before === undefined || cpu === undefined ? {} : { cpu: cpu - before },
          ...memory === undefined ? {} : { memory },
        } satisfies Outcome;
      } finally {
        await end(child);
      }
    },
    close: async () => {},
  };
}

/** Says when it is done. */
function copy(job: Job): string {
  return `\\o /dev/null\ncopy (${rows(job)}) to stdout;\n\\echo copied`;
}

function rows({ operation, name, position, count }: Job): string {
  const which = operation === "readAll"
    ? `global_position >= ${position} order by global_position limit ${count}`
    : `message_store.category(stream_name) = '${name}' order by global_position`;
  return `select id, stream_name, type, position, global_position, data, metadata, time ` +
    `from message_store.messages where ${which}`;
}
