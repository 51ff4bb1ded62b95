/**
 * Forgets a person in a store that forgets nothing: what is personal is encrypted, with a key for each
 * account, and the key is deleted. Messages stay, amounts stay, and all that is made of them goes on.
 *
 *     npx tsx examples/erasure.ts
 *
 * With a DATABASE_URL it is that database's Message DB, else a PostgreSQL is started.
 */
import {
  type Codec,
  type CodedMessage,
  defineMessages,
  entity,
  id,
  projectCategory,
  readLastMessage,
  readStream,
  streamName,
  write,
} from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import process from "node:process";
import postgres from "postgres";
import * as z from "zod";

const server = process.env["DATABASE_URL"] ? undefined : await startEmbedded();
const sql = postgres(process.env["DATABASE_URL"] ?? server!.url, { onnotice: () => {} });

// ── Encrypt ──────────────────────────────────────────────────────────────────────────────────────

// Keys belong where backups don't keep them for long: a database of their own, or a key service.
await sql`
  create table if not exists public.keys (
    subject text primary key,
    id uuid not null default gen_random_uuid(),
    key bytea not null
  )`;

/** A key of AES-256, and which it is: a subject that comes back after its erasure has another one. */
interface Key {
  readonly id: string;
  readonly key: Uint8Array<ArrayBuffer>;
}

/** What is stored in place of a personal member. */
interface Encrypted {
  readonly key: string;
  readonly iv: string;
  readonly ciphertext: string;
}

/** Encrypts members of these names. Without its key, one reads as null. */
function encrypting(sql: postgres.Sql, personal: readonly string[]): Codec {
  return {
    async encode(data, message) {
      return await mapMembers(data, personal, async (value) => {
        const key = await keyToWrite(sql, message);
        if (key === undefined) return null;
        const iv = crypto.getRandomValues(new Uint8Array(12));
        const plaintext = new TextEncoder().encode(JSON.stringify(value));
        const ciphertext = await crypto.subtle.encrypt(
          { name: "AES-GCM", iv },
          await importKey(key),
          plaintext,
        );
        return { key: key.id, iv: toBase64(iv), ciphertext: toBase64(new Uint8Array(ciphertext)) };
      });
    },
    async decode(data) {
      return await mapMembers(data, personal, async (value) => {
        const encrypted = value as Encrypted;
        const [key] = await sql<Key[]>`select id, key from public.keys where id = ${encrypted.key}`;
        if (key === undefined) return null;
        const plaintext = await crypto.subtle.decrypt(
          { name: "AES-GCM", iv: fromBase64(encrypted.iv) },
          await importKey(key),
          fromBase64(encrypted.ciphertext),
        );
        return JSON.parse(new TextDecoder().decode(plaintext));
      });
    },
  };
}

/** A copy of the data in which the members of these names, if they are there, are others. */
async function mapMembers(
  data: unknown,
  names: readonly string[],
  map: (value: unknown) => Promise<unknown>,
): Promise<unknown> {
  const members = Object.entries(data as object).map(async ([name, value]) => {
    return [name, names.includes(name) && value !== null ? await map(value) : value];
  });
  return Object.fromEntries(await Promise.all(members));
}

/**
 * The key of the message's subject, made with the first message that needs one. Of several writers that
 * make it at the same time, one does, and all take that one.
 *
 * A snapshot makes none. It may be written from a state that was read before the erasure, and would
 * bring back what was erased, under a new key.
 */
async function keyToWrite(sql: postgres.Sql, message: CodedMessage): Promise<Key | undefined> {
  const subject = id(message.streamName);
  while (true) {
    const [key] = await sql<Key[]>`select id, key from public.keys where subject = ${subject}`;
    if (key !== undefined || message.isSnapshot) return key;
    const fresh = crypto.getRandomValues(new Uint8Array(32));
    await sql`
      insert into public.keys (subject, key)
      values (${subject}, ${fresh})
      on conflict do nothing`;
  }
}

async function importKey({ key }: Key): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]);
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

// ── Define ───────────────────────────────────────────────────────────────────────────────────────

// What can be erased is nullable, and a program that does not think of it does not compile.
const messages = defineMessages({
  Opened: z.object({}),
  Named: z.object({ owner: z.string().nullable() }),
  Deposited: z.object({ amount: z.number(), reference: z.string().nullable() }),
  Withdrawn: z.object({ amount: z.number() }),
}, { codec: encrypting(sql, ["owner", "reference"]) });

const { Opened, Named, Deposited, Withdrawn } = messages;

// Snapshots go through the codec, too: the state's personal members have the names of the messages'. There
// is no cache: states in memory are plain text, in every process, and no key takes them away.
const account = entity({
  category: "account",
  messages,
  init: (): { owner: string | null; balance: number } => ({ owner: null, balance: 0 }),
  handlers: {
    Named: (state, { data }) => ({ ...state, owner: data.owner }),
    Deposited: (state, { data }) => ({ ...state, balance: state.balance + data.amount }),
    Withdrawn: (state, { data }) => ({ ...state, balance: state.balance - data.amount }),
  },
  snapshot: { every: 1 },
});

// ── Run ──────────────────────────────────────────────────────────────────────────────────────────

const [ada, grace] = [crypto.randomUUID(), crypto.randomUUID()];
const stream = streamName("account", ada);

await account.decide(sql, ada, () => Opened());
// Four at the same time: one makes the key.
const pay = () => write(sql, stream, Deposited({ amount: 10, reference: "Ada's rent" }));
await Promise.all([pay(), pay(), pay(), pay()]);
await account.decide(sql, ada, () => Named({ owner: "Ada" }));
await account.decide(sql, grace, () => [
  Opened(),
  Named({ owner: "Grace" }),
  Deposited({ amount: 20, reference: "Grace's rent" }),
]);
await print("Ada and Grace have accounts");

const stored = await readLastMessage(sql, stream);
console.log(`  What is stored: ${JSON.stringify(stored!.data)}`);

await sql`delete from public.keys where subject = ${ada}`;
await print("Ada is erased");

// Life goes on. Who comes back has a new key: what was erased stays so.
await account.decide(sql, ada, ({ balance }) => balance < 30 ? null : Withdrawn({ amount: 30 }));
await account.decide(sql, ada, () => Deposited({ amount: 5, reference: "Ada, who is back" }));
await print("Ada's account is used again");

await sql.end();
await server?.stop();

/** Prints Ada's messages, the state of her account, and what there is in all accounts. */
async function print(title: string): Promise<void> {
  console.log(`\n${title}`);
  for (const { type, data } of await readStream(sql, stream, { messages })) {
    console.log(`  ${type.padEnd(10)} ${JSON.stringify(data)}`);
  }
  const { state } = await account.fetch(sql, ada);
  const total = await projectCategory(sql, "account", {
    messages,
    init: () => 0,
    handlers: {
      Deposited: (sum, { data }) => sum + data.amount,
      Withdrawn: (sum, { data }) => sum - data.amount,
    },
  });
  console.log(`  Her account: ${JSON.stringify(state)}. All accounts: ${total.state}`);
}
