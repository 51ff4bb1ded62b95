/**
 * The terminal session in docs/operate/command-line.md, and its recording: `messagedb`, run on a small bank.
 *
 * Run as a program, it renews both: `npx tsx test/docs/session.ts`.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { text } from "node:stream/consumers";
import { stripVTControlCharacters } from "node:util";
import postgres from "postgres";
import { drain, follow, type Message, readLastMessage, write } from "../../mod.ts";
import { startEmbedded } from "../../src/database/embedded.ts";
import { pathOf } from "../_path_of.ts";
import { buildMessagedb } from "../cli/_build.ts";
import { renewPart } from "./_made_part.ts";
import { drawSession, type Step } from "./_terminal_svg.ts";

export const SESSION_PAGE = "docs/operate/command-line.md";
export const RECORDING = "docs/operate/command-line.svg";

/** What a reader of the page types, and what is said before. */
const COMMANDS: readonly (readonly [command: string, says?: string])[] = [
  [
    "messagedb write account-123 Deposited '{\"amount\":11}'",
    "Write a message: what is printed is its position in the stream.",
  ],
  ["messagedb read account-123", "Read the stream. `--follow` goes on with what comes."],
  ["messagedb categories", "See what there is, and how much of it."],
  ["messagedb streams account"],
  ["messagedb types account"],
  ["messagedb trace transfer-7", "See what followed from what, across streams."],
  [
    "messagedb lag --critical 3",
    "Monitoring asks how far behind the consumers are, and gets an exit code: here 2.",
  ],
  ["messagedb consumers", "See which one it is, and how it is."],
  ["messagedb park mailer --dry-run", "Its message can't be handled: put it aside."],
  ['messagedb park mailer --reason "no address" --yes'],
  ["messagedb parked list"],
  ["messagedb doctor", "Check the server, the rights and the indexes."],
  ["messagedb export '$all' > store.ndjson", "Copy the store into a file, and check it."],
  ["messagedb verify"],
];

/** Runs the session on a server of its own. */
export async function runSession(): Promise<Step[]> {
  const built = await buildMessagedb();
  const folder = mkdtempSync(join(tmpdir(), "messagedb-session-"));
  // With a folder of its own, the server is as durable as it is in production.
  const data = mkdtempSync(join(tmpdir(), "messagedb-session-data-"));
  chmodSync(data, 0o755);
  const server = await startEmbedded({ dataDir: join(data, "data") });
  try {
    await openBank(server.url);
    const steps: Step[] = [];
    for (const [command] of COMMANDS) {
      steps.push({ command, output: await run(command, built.path, server.url, folder) });
    }
    return steps;
  } finally {
    await server.stop();
    for (const it of [folder, data]) rmSync(it, { recursive: true });
    await built.remove();
  }
}

/** Two accounts, a transfer between them, and a consumer that cannot handle a message. */
async function openBank(url: string): Promise<void> {
  const sql = postgres(url, { onnotice: () => {} });
  const add = async (stream: string, type: string, data: unknown, cause?: Message) => {
    const message = { type, data };
    await write(sql, stream, cause === undefined ? message : follow(cause, message));
    return (await readLastMessage(sql, stream))!;
  };
  await add("account-123", "Opened", { owner: "Ada" });
  await add("account-456", "Opened", { owner: "Grace" });
  await add("account-123", "Deposited", { amount: 100 });
  const requested = await add("transfer-7", "Requested", {
    from: "123",
    to: "456",
    amount: 30,
  });
  const withdrawn = await add("account-123", "Withdrawn", { amount: 30 }, requested);
  const deposited = await add("account-456", "Deposited", { amount: 30 }, withdrawn);
  await add("transfer-7", "Completed", {}, deposited);
  await add("account-456", "Deposited", { amount: 5 });
  const consumer = { category: "account", types: ["Opened", "Deposited", "Withdrawn"] };
  await drain(sql, { ...consumer, consumerId: "balances", handle: () => {} });
  const handle = ({ type }: Message) => {
    if (type === "Withdrawn") throw new Error("No address of account 123");
  };
  await drain(sql, { ...consumer, consumerId: "mailer", onError: "stop", handle }).catch(() => {});
  await sql.end();
}

/** What the shell prints where `messagedb` is the built program, in colours. */
async function run(command: string, path: string, url: string, cwd: string): Promise<string> {
  const script = `messagedb() { '${process.execPath}' '${path}' "$@"; }; ${command}`;
  const env = { ...process.env, DATABASE_URL: url, FORCE_COLOR: "1", NO_COLOR: "" };
  const child = spawn("bash", ["-c", `exec 2>&1; ${script}`], { cwd, env });
  return await text(child.stdout);
}

/** The session as the page has it. */
export function sessionText(steps: readonly Step[]): string {
  const parts = steps.flatMap(({ command, output }, n) => {
    const says = COMMANDS[n]![1];
    return [...says === undefined ? [] : [says], block(command, output)];
  });
  return `\n![A session with messagedb in a terminal](command-line.svg)\n\n${
    parts.join("\n\n")
  }\n\n`;
}

function block(command: string, output: string): string {
  const plain = stripVTControlCharacters(output).replaceAll(/ +$/gm, "");
  return `\`\`\`console\n$ ${command}\n${plain.trimEnd()}\n\`\`\``.replace("\n\n```", "\n```");
}

/** The text without what is another at each run: times, ids, how long something takes, processes, ports. */
export function withoutChance(text: string): string {
  return text
    .replaceAll(/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z/g, "<time>")
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "<id>")
    .replaceAll(/\b\d+(\.\d+)? (ms|s|min|h)\b( \d+ (s|min)\b)?|(?<==)\d+s\b/g, "<span>")
    .replaceAll(/\d+ of \d+ connections/g, "<connections>")
    .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:<port>")
    .replaceAll(/(?<=\S) {2,}/g, "  ");
}

if (process.argv[1]?.endsWith("session.ts")) {
  const steps = await runSession();
  renewPart(SESSION_PAGE, sessionText(steps));
  writeFileSync(pathOf(RECORDING), drawSession(steps));
}
