/**
 * Forgets a person in a store that forgets nothing: what is personal is encrypted, with a key for each
 * account, and the key is deleted. Messages stay, amounts stay, and all that is made of them goes on.
 *
 *     npx tsx examples/erasure.ts
 *
 * With a DATABASE_URL it is that database's Message DB, else a PostgreSQL is started.
 */
import { drain, projectCategory, readStream, streamName, write } from "@messagedb/client";
import { startEmbedded } from "@messagedb/client/embedded";
import process from "node:process";
import postgres from "postgres";
import { accountsWith, type Key, type Keys, withdraw } from "./erasure_accounts.ts";

const server = process.env["DATABASE_URL"] ? undefined : await startEmbedded();
const sql = postgres(process.env["DATABASE_URL"] ?? server!.url, { onnotice: () => {} });

// ── Keep ─────────────────────────────────────────────────────────────────────────────────────────

// Keys belong where backups don't keep them for long: a database of their own, or a key service.
await sql`
  create table if not exists public.keys (
    subject text primary key,
    id uuid not null default gen_random_uuid(),
    key bytea not null
  )`;

const keys: Keys = {
  async ofSubject(subject) {
    const [key] = await sql<Key[]>`select id, key from public.keys where subject = ${subject}`;
    return key;
  },
  async withId(id) {
    const [key] = await sql<Key[]>`select id, key from public.keys where id = ${id}`;
    return key;
  },
  async make(subject) {
    const fresh = crypto.getRandomValues(new Uint8Array(32));
    await sql`
      insert into public.keys (subject, key)
      values (${subject}, ${fresh})
      on conflict do nothing`;
  },
};

const { messages, accounts } = accountsWith(keys);
const { Opened, Named, Deposited, Erased } = messages;

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
await accounts.decide(sql, ada, (account) => withdraw(account, 30));
await accounts.decide(sql, ada, () => Deposited({ amount: 5, reference: "Ada, who is back" }));
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
