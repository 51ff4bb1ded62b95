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
  let connecting: number | undefined;
  return {
    async run(job) {
      // It is started for each job, and the time in which it connects is not the writes'.
      connecting ??= (await measure(program, { ...job, name: `w${job.name}` }, 1)).cpu!;
      const outcome = await measure(program, job, Math.ceil(job.count / job.connections));
      return { ...outcome, cpu: Math.max(0, outcome.cpu! - connecting) };
    },
    close: async () => {},
  };
}

async function measure(program: string, job: Job, each: number): Promise<Outcome> {
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
    const args = ["-n", "-l", "-M", "prepared", "-c", connections, "-j", threads, "-t", each];
    const { stdout, stderr, memory } = await spawnTimed(
      program,
      [...args.map(String), "-f", script],
      url,
      folder,
    );
    const rate = Number(/^tps = ([\d.]+)/m.exec(stdout)?.[1]);
    if (!(rate > 0)) throw new Error(`pgbench did not say how fast it was: ${stdout}${stderr}`);
    const latencies: number[] = [];
    for (const file of await readdir(folder)) {
      if (!file.startsWith("pgbench_log")) continue;
      for (const line of (await readFile(join(folder, file), "utf8")).trim().split("\n")) {
        latencies.push(Number(line.split(" ")[2]) / 1000);
      }
    }
    const messages = latencies.length;
    // The last line is of bash.
    const [user, system] = stderr.trim().split("\n").at(-1)!.split(" ").map(Number);
    const outcome = {
      messages,
      seconds: messages / rate,
      latencies,
      cpu: (user! + system!) * 1000,
    };
    return memory === undefined ? outcome : { ...outcome, memory };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function spawnTimed(
  program: string,
  args: readonly string[],
  url: string,
  cwd: string,
): Promise<{ stdout: string; stderr: string; memory: number | undefined }> {
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
    }, (error, stdout, stderr) => {
      clearInterval(polling);
      if (error) reject(error);
      else resolve({ stdout, stderr, memory });
    });
    let memory: number | undefined;
    const polling = setInterval(async () => {
      const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, "utf8")
        .catch(() => "");
      memory = peakMemoryOf(Number(children.trim())) ?? memory;
    }, 20);
  });
}
