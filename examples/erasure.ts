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
  drain,
  entity,
  FORGOTTEN,
  id,
  projectCategory,
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

/** What is stored in place of what is personal. */
interface Sealed {
  readonly key: string;
  readonly iv: string;
  readonly ciphertext: string;
}

/** What is personal in messages of a stored type: all of the data, or members of it. */
const PERSONAL: Readonly<Record<string, "all" | readonly string[]>> = {
  Named: "all",
  Deposited: ["reference"],
};

const codec: Codec = {
  async encode(data, message) {
    const personal = personalIn(message);
    if (personal === "all") return await seal(data, message);
    return await mapMembers(data, personal, (value) => seal(value, message));
  },
  async decode(data, message) {
    const personal = personalIn(message);
    if (personal === "all") return await unseal(data);
    return await mapMembers(data, personal, async (member) => {
      const value = await unseal(member);
      return value === FORGOTTEN ? null : value;
    });
  },
};

function personalIn({ type, isSnapshot }: CodedMessage): "all" | readonly string[] {
  return isSnapshot ? "all" : PERSONAL[type] ?? [];
}

/** Encrypts a value with the key of the message's subject; null for a snapshot of a subject without one. */
async function seal(value: unknown, message: CodedMessage): Promise<Sealed | null> {
  const key = await keyToWrite(message);
  if (key === undefined) return null;
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const ciphertext = await crypto.subtle.encrypt(
    { name: "AES-GCM", iv },
    await importKey(key),
    new TextEncoder().encode(JSON.stringify(value)),
  );
  return { key: key.id, iv: toBase64(iv), ciphertext: toBase64(new Uint8Array(ciphertext)) };
}

/** Decrypts a value; FORGOTTEN if its key is deleted. */
async function unseal(sealed: unknown): Promise<unknown> {
  if (sealed === null) return FORGOTTEN;
  const { key: keyId, iv, ciphertext } = sealed as Sealed;
  const [key] = await sql<Key[]>`select id, key from public.keys where id = ${keyId}`;
  if (key === undefined) return FORGOTTEN;
  const text = await crypto.subtle.decrypt(
    { name: "AES-GCM", iv: fromBase64(iv) },
    await importKey(key),
    fromBase64(ciphertext),
  );
  return JSON.parse(new TextDecoder().decode(text));
}

/**
 * The key of the message's subject, made with the first message that needs one. Of several writers that
 * make it at the same time, one does, and all take that one.
 *
 * A snapshot makes none. It may be written from a state that was read before the erasure, and would
 * bring back what was erased, under a new key.
 */
async function keyToWrite({ streamName, isSnapshot }: CodedMessage): Promise<Key | undefined> {
  const subject = id(streamName)!;
  while (true) {
    const [key] = await sql<Key[]>`select id, key from public.keys where subject = ${subject}`;
    if (key !== undefined || isSnapshot) return key;
    const fresh = crypto.getRandomValues(new Uint8Array(32));
    await sql`
      insert into public.keys (subject, key)
      values (${subject}, ${fresh})
      on conflict do nothing`;
  }
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

// A member that can be forgotten is nullable: a program that does not think of it does not compile. A
// message that is forgotten as a whole needs nothing here.
const messages = defineMessages({
  Opened: z.object({}),
  Named: z.object({ owner: z.string() }),
  Deposited: z.object({ amount: z.number().positive(), reference: z.string().nullable() }),
  Withdrawn: z.object({ amount: z.number().positive() }),
  Erased: z.object({}),
}, { codec });

const { Opened, Named, Deposited, Withdrawn, Erased } = messages;

interface Account {
  readonly owner: string | null;
  readonly balance: number;
}

// Snapshots go through the codec, too. There is no cache: states in memory are plain text, in every
// process, and no key takes them away.
const accounts = entity({
  category: "account",
  messages,
  init: (): Account => ({ owner: null, balance: 0 }),
  handlers: {
    Named: (account, { data }) => ({ ...account, owner: data.owner }),
    Deposited: (account, { data }) => ({ ...account, balance: account.balance + data.amount }),
    Withdrawn: (account, { data }) => ({ ...account, balance: account.balance - data.amount }),
    Erased: (account) => ({ ...account, owner: null }),
  },
  snapshot: { every: 1 },
});

// ── Forget ───────────────────────────────────────────────────────────────────────────────────────

/** Deletes the key of an account, and tells those who keep what is personal elsewhere. */
async function forget(subject: string): Promise<void> {
  await sql.begin(async (sql) => {
    await sql`delete from public.keys where subject = ${subject}`;
    await write(sql, streamName("account", subject), Erased());
  });
}

await sql`create table if not exists public.owners (account text primary key, owner text not null)`;

/** Keeps the table of owners. After an erasure, a rebuild passes over what is forgotten. */
async function updateOwners(consumerId: string): Promise<void> {
  await drain(sql, {
    category: "account",
    consumerId,
    transactional: true,
    messages,
    handlers: {
      Named: async ({ streamName, data: { owner } }, { sql }) => {
        await sql`
          insert into public.owners (account, owner)
          values (${streamName}, ${owner})
          on conflict (account) do update set owner = excluded.owner`;
      },
      Erased: async ({ streamName }, { sql }) => {
        await sql`delete from public.owners where account = ${streamName}`;
      },
    },
  });
}

// ── Run ──────────────────────────────────────────────────────────────────────────────────────────

const [ada, grace] = [crypto.randomUUID(), crypto.randomUUID()];
const stream = streamName("account", ada);

await accounts.decide(sql, ada, () => Opened());
// Four at the same time: one makes the key.
const pay = () => write(sql, stream, Deposited({ amount: 10, reference: "Ada's rent" }));
await Promise.all([pay(), pay(), pay(), pay()]);
await accounts.decide(sql, ada, () => Named({ owner: "Ada" }));
await accounts.decide(sql, grace, () => [
  Opened(),
  Named({ owner: "Grace" }),
  Deposited({ amount: 20, reference: "Grace's rent" }),
]);
await updateOwners("owners");
await print("Ada and Grace have accounts");

const stored = (await readStream(sql, stream)).at(-1);
console.log(`  What is stored: ${JSON.stringify(stored!.data)}`);

await forget(ada);
await updateOwners("owners");
await print("Ada is erased");

// Life goes on. Who comes back has a new key: what was erased stays so.
await accounts.decide(
  sql,
  ada,
  ({ balance }) => balance < 30 ? null : Withdrawn({ amount: 30 }),
);
await accounts.decide(
  sql,
  ada,
  () => Deposited({ amount: 5, reference: "Ada, who is back" }),
);
await sql`delete from public.owners`;
await updateOwners("owners-rebuilt");
await print("Ada's account is used again, and the table of owners is rebuilt");

await sql.end();
await server?.stop();

/** Prints Ada's messages, the state of her account, what there is in all accounts, and who has one. */
async function print(title: string): Promise<void> {
  console.log(`\n${title}`);
  for (const message of await readStream(sql, stream, { messages })) {
    const name = message.type === "$forgotten" ? message.storedType : message.type;
    const data = message.type === "$forgotten" ? "(forgotten)" : JSON.stringify(message.data);
    console.log(`  ${name.padEnd(10)} ${data}`);
  }
  const { state } = await accounts.fetch(sql, ada);
  const total = await projectCategory(sql, "account", {
    messages,
    init: () => 0,
    handlers: {
      Deposited: (sum, { data }) => sum + data.amount,
      Withdrawn: (sum, { data }) => sum - data.amount,
    },
  });
  const owners = await sql<{ owner: string }[]>`select owner from public.owners order by owner`;
  console.log(`  Her account: ${JSON.stringify(state)}. All accounts: ${total.state}`);
  console.log(`  Owners: ${owners.map(({ owner }) => owner).join(", ")}`);
}
