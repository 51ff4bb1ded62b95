import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setInterval } from "node:timers";
import type { Job, Outcome, Runner } from "../_job.ts";
import { peakMemoryOf } from "../_processes.ts";

/** Calls `write_message`, prepared: no client that calls it once a message is faster. */
export function startPgbench(program: string): Runner {
  return {
    async run(job) {
      let written = 0;
      // So long it writes, in whole seconds, and it connects in that time, too. A number of calls for each
      // connection would leave some of them idle at the end.
      for (let seconds = 1;; seconds *= 2) {
        const { span, outcome } = await measure(program, job, seconds);
        written += outcome.messages;
        if (span < 0.5) continue;
        const rate = outcome.messages / outcome.seconds;
        return { ...outcome, messages: written, seconds: written / rate };
      }
    },
    close: async () => {},
  };
}

async function measure(
  program: string,
  job: Job,
  seconds: number,
): Promise<{ readonly span: number; readonly outcome: Outcome }> {
  const { url, name, connections, many, message } = job;
  const folder = await mkdtemp(join(tmpdir(), "messagedb-pgbench-"));
  try {
    const script = join(folder, "write.sql");
    const stream = many ? `'${name}x' || :client_id || '-1'` : `'${name}-' || :client_id`;
    const text = (value: unknown) => `'${JSON.stringify(value).replaceAll("'", "''")}'`;
    await writeFile(
      script,
      `select write_message(gen_random_uuid()::varchar, ${stream}, '${message.type}', ` +
        `${text(message.data)}, ${text(message.metadata)});\n`,
    );
    const threads = Math.min(2, connections);
    const args = [
      "-n",
      "-l",
      "-M",
      "prepared",
      "-c",
      connections,
      "-j",
      threads,
      "-T",
      seconds,
    ];
    const { stderr, memory } = await spawnTimed(
      program,
      [...args.map(String), "-f", script],
      url,
      folder,
    );
    const calls: { readonly latency: number; readonly end: number }[] = [];
    for (const file of await readdir(folder)) {
      if (!file.startsWith("pgbench_log")) continue;
      for (const line of (await readFile(join(folder, file), "utf8")).split("\n")) {
        if (!line) continue;
        const [, , latency, , epoch, microseconds] = line.split(" ").map(Number);
        calls.push({ latency: latency! / 1000, end: epoch! + microseconds! / 1e6 });
      }
    }
    // The first calls of a connection are slow, and at the end not all are busy.
    const ends = calls.map(({ end }) => end).sort((a, b) => a - b);
    const [first = 0, last = 0] = [ends[0], ends.at(-1)];
    const from = first + 0.3 * (last - first);
    const to = first + 0.95 * (last - first);
    const measured = calls.filter(({ end }) => end > from && end <= to);
    const rate = measured.length / (to - from);
    const messages = calls.length;
    const latencies = measured.map(({ latency }) => latency);
    // The last line is of bash.
    const [user, system] = stderr.trim().split("\n").at(-1)!.split(" ").map(Number);
    const outcome = {
      messages,
      seconds: messages / rate,
      latencies,
      cpu: (user! + system!) * 1000,
    };
    return {
      span: last - first,
      outcome: memory === undefined ? outcome : { ...outcome, memory },
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function spawnTimed(
  program: string,
  args: readonly string[],
  url: string,
  cwd: string,
): Promise<{ stderr: string; memory: number | undefined }> {
  const { hostname, port, username, password, pathname } = new URL(url);
  return await new Promise((resolve, reject) => {
    // Only who waits for a process learns how long it has run.
    const script = 'TIMEFORMAT="%3U %3S"; time "$0" "$@"';
    const child = execFile("bash", ["-c", script, program, ...args], {
      cwd,
      maxBuffer: 2 ** 28,
      env: {
        ...process.env,
        PGHOST: hostname,
        PGPORT: port || "5432",
        PGUSER: decodeURIComponent(username),
        PGPASSWORD: decodeURIComponent(password),
        PGDATABASE: pathname.slice(1),
        PGOPTIONS: "-c search_path=message_store,public",
      },
    }, (error, _, stderr) => {
      clearInterval(polling);
      if (error) reject(error);
      else resolve({ stderr, memory });
    });
    let memory: number | undefined;
    const polling = setInterval(async () => {
      const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, "utf8")
        .catch(() => "");
      memory = peakMemoryOf(Number(children.trim())) ?? memory;
    }, 20);
  });
}
