/**
 * `npm run bench:cost`: what it costs to import the client on Node, what is open when it is idle, and how
 * long a Worker takes from its start to its first write.
 *
 * It takes what is published, and the database of `DATABASE_URL` or the embedded server.
 * `--rounds` says how many processes import it, each beside one that imports an empty module, and a third
 * of that how many Workers are started, each beside one that has the driver alone. workerd is of those
 * packages that the first `npm test` installs.
 */
import { startEmbedded } from "@messagedb/client/embedded";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs, promisify } from "node:util";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "31" } } });
const built = new URL("../dist/mod.js", import.meta.url).href;
const root = fileURLToPath(new URL("..", import.meta.url));

async function run(program: string): Promise<string> {
  const command = ["--input-type=module", "--eval", program];
  return (await promisify(execFile)(process.execPath, command, { cwd: root })).stdout;
}

/** In a program of its own, as programs are: the first module of `--eval` pays for Node's own loader. */
async function importTimes(folder: string): Promise<{ empty: number[]; built: number[] }> {
  const [program, empty] = [join(folder, "program.mjs"), join(folder, "empty.mjs")];
  await writeFile(empty, "export {};");
  await writeFile(
    program,
    `const start = performance.now();
    await import(process.argv[2]);
    console.log(performance.now() - start);`,
  );
  const time = async (url: string): Promise<number> =>
    Number((await promisify(execFile)(process.execPath, [program, url])).stdout);
  const times = { empty: [] as number[], built: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    times.empty.push(await time(pathToFileURL(empty).href));
    times.built.push(await time(built));
  }
  return times;
}

const folder = await mkdtemp(join(tmpdir(), "messagedb-cost-"));
const times = await importTimes(folder).finally(() => rm(folder, { recursive: true }));
const median = (all: number[]) => all.sort((a, b) => a - b)[all.length >> 1]!.toFixed(2);
console.log(`To import the client: ${median(times.built)} ms`);
console.log(`To import an empty module: ${median(times.empty)} ms`);

const given = process.env["DATABASE_URL"];
const embedded = given ? undefined : await startEmbedded();
try {
  const url = given ?? embedded!.url;
  const idle = await run(`
    import postgres from "postgres";
    import { readStream, write } from ${JSON.stringify(built)};

    const open = () => process.getActiveResourcesInfo().join(", ") || "nothing";
    const sql = postgres(${JSON.stringify(url)}, { max: 1 });
    await sql\`select 1\`;
    const before = open();
    await write(sql, "bench" + crypto.randomUUID().slice(0, 8) + "-1", { type: "Written" });
    await readStream(sql, "bench-1");
    console.log(\`Open before a write and a read: \${before}; after: \${open()}\`);
    await sql.end();
    console.log("Open when the driver's connection has ended: " + open());`);
  console.log(idle.trimEnd());
  await showColdStarts(url);
} finally {
  await embedded?.stop();
}

async function showColdStarts(connectionString: string): Promise<void> {
  const ways = {
    "the client": `
      import { write } from ${JSON.stringify(fileURLToPath(built))};
      const send = (sql, name) => write(sql, name, { type: "Written", data: { amount: 11 } });`,
    "the driver alone": `
      const send = (sql, name) => sql\`
        select message_store.write_message(
          gen_random_uuid()::varchar, \${name}, 'Written', '{"amount": 11}'::text::jsonb
        )\`;`,
  };
  const times = new Map<string, number[]>();
  for (let round = 0; round < Number(values.rounds) / 3; round++) {
    for (const [name, way] of Object.entries(ways)) {
      const taken = await coldStart(connectionString, way);
      times.set(name, [...times.get(name) ?? [], taken]);
    }
  }
  for (const [name, taken] of times) {
    console.log(`From the start of workerd to the first write, by ${name}: ${median(taken)} ms`);
  }
}

/** Milliseconds from the start of workerd to the answer of a Worker's first write. */
async function coldStart(connectionString: string, way: string): Promise<number> {
  const { bundleWorker, runWorker } = await import("../test/_worker.ts");
  const script = await bundleWorker({
    stdin: {
      resolveDir: root,
      contents: `
        import postgres from "postgres";
        ${way}
        export default {
          async fetch(_, { HYPERDRIVE: { connectionString } }) {
            const connection = { search_path: "message_store,public" };
            const sql = postgres(connectionString, { max: 1, fetch_types: false, connection });
            await send(sql, "bench" + crypto.randomUUID().slice(0, 8) + "-1");
            return new Response("written");
          },
        };`,
    },
  });
  const start = performance.now();
  const worker = runWorker(script, connectionString);
  try {
    const response = await worker.dispatchFetch("http://worker/");
    if (await response.text() !== "written") throw new Error("The Worker could not write");
    return performance.now() - start;
  } finally {
    await worker.dispose();
  }
}
