/**
 * Accounts whose owners can be forgotten: what is personal is encrypted, with a key for each account. Where the
 * keys are is up to who calls: a table in erasure.ts, a Map in a test.
 */
import {
  type Codec,
  type CodedMessage,
  defineMessages,
  entity,
  FORGOTTEN,
  id,
  type MessageInputOf,
} from "@messagedb/client";
import * as z from "zod";

// ── Encrypt ──────────────────────────────────────────────────────────────────────────────────────

/** A key of AES-256, and which it is: a subject that comes back after its erasure has another one. */
export interface Key {
  readonly id: string;
  readonly key: Uint8Array<ArrayBuffer>;
}

/** Where the keys are: a table, or a key service. */
export interface Keys {
  /** The key of a subject; undefined if it has none. */
  ofSubject(subject: string): Promise<Key | undefined>;
  /** The key with this id; undefined if it is deleted. */
  withId(id: string): Promise<Key | undefined>;
  /** Makes a key for a subject. Of several that do so at the same time, one does, and all find that one. */
  make(subject: string): Promise<void>;
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

function personalIn({ type, isSnapshot }: CodedMessage): "all" | readonly string[] {
  return isSnapshot ? "all" : PERSONAL[type] ?? [];
}

/** Encrypts what is personal. Without its key, it is forgotten; a member is null. */
function encrypting(keys: Keys): Codec {
  return {
    async encode(data, message) {
      const personal = personalIn(message);
      if (personal === "all") return await seal(data, message, keys);
      return await mapMembers(data, personal, (value) => seal(value, message, keys));
    },
    async decode(data, message) {
      const personal = personalIn(message);
      if (personal === "all") return await unseal(data, keys);
      return await mapMembers(data, personal, async (sealed) => {
        const value = await unseal(sealed, keys);
        return value === FORGOTTEN ? null : value;
      });
    },
  };
}

/** Encrypts a value with the key of the message's subject; null for a snapshot of a subject without one. */
async function seal(value: unknown, message: CodedMessage, keys: Keys): Promise<Sealed | null> {
  const key = await keyToWrite(message, keys);
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
async function unseal(sealed: unknown, keys: Keys): Promise<unknown> {
  if (sealed === null) return FORGOTTEN;
  const { key: keyId, iv, ciphertext } = sealed as Sealed;
  const key = await keys.withId(keyId);
  if (key === undefined) return FORGOTTEN;
  const text = await crypto.subtle.decrypt(
    { name: "AES-GCM", iv: fromBase64(iv) },
    await importKey(key),
    fromBase64(ciphertext),
  );
  return JSON.parse(new TextDecoder().decode(text));
}

/**
 * The key of the message's subject, made with the first message that needs one.
 *
 * A snapshot makes none. It may be written from a state that was read before the erasure, and would
 * bring back what was erased, under a new key.
 */
async function keyToWrite(
  { streamName, isSnapshot }: CodedMessage,
  keys: Keys,
): Promise<Key | undefined> {
  const subject = id(streamName)!;
  while (true) {
    const key = await keys.ofSubject(subject);
    if (key !== undefined || isSnapshot) return key;
    await keys.make(subject);
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

export interface Account {
  readonly owner: string | null;
  readonly balance: number;
}

const amount = z.number().positive();

/** The messages and the accounts. */
export function accountsWith(keys: Keys) {
  // A member that can be forgotten is nullable: a program that does not think of it does not compile. A
  // message that is forgotten as a whole needs nothing here.
  const messages = defineMessages({
    Opened: z.object({}),
    Named: z.object({ owner: z.string() }),
    Deposited: z.object({ amount, reference: z.string().nullable() }),
    Withdrawn: z.object({ amount }),
    Erased: z.object({}),
  }, { codec: encrypting(keys) });

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

  return { messages, accounts };
}

type AccountInput = MessageInputOf<ReturnType<typeof accountsWith>["messages"]>;

/** Takes money out, whoever has the account: it needs nothing that is personal. */
export function withdraw({ balance }: Account, amount: number): AccountInput {
  if (balance < amount) throw new Error("There is not enough in the account");
  return { type: "Withdrawn", data: { amount } };
}
