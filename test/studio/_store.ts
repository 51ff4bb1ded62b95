/** A store in which something of everything is, as people have it and as people make trouble with it. */
import {
  aggregate,
  append,
  consume,
  type Consumer,
  drain,
  entity,
  follow,
  type Message,
  readLastMessage,
  type Sql,
  write,
  writeBatch,
} from "@messagedb/client";

/** The entity of the accounts. */
export const theAccount = entity({
  category: "account",
  init: () => ({ balance: 0, holder: "" }),
  handlers: {
    Opened: (state, { data }: Message<{ holder: string }>) => ({ ...state, holder: data.holder }),
    Deposited: (state, { data }: Message<{ amount: number }>) => ({
      ...state,
      balance: state.balance + data.amount,
    }),
    Withdrawn: (state, { data }: Message<{ amount: number }>) => ({
      ...state,
      balance: state.balance - data.amount,
    }),
  },
  snapshot: { every: 5 },
});

/** A consumer that parks what it cannot handle: withdrawals of more than 150. */
export const letters: Consumer<Sql> = {
  category: "account",
  consumerId: "letters",
  handlers: {
    Opened: () => {},
    Deposited: () => {},
    Withdrawn: ({ data }: Message) => {
      const { amount } = data as { readonly amount: number };
      if (amount > 150) throw new RangeError(`no letter for an amount of ${amount}`);
    },
  },
  onError: "park",
};

/** A consumer that keeps up. */
export const balances: Consumer<Sql> = {
  category: "account",
  consumerId: "balances",
  handle: () => {},
};

/** A consumer that nobody runs any more. */
const audit: Consumer<Sql> = { category: "account", consumerId: "audit", handle: () => {} };

/** A group of two, of everything that is transferred. */
const statements: Consumer<Sql> = {
  category: "transfer",
  consumerId: "statements",
  consumerGroup: { size: 2 },
  handle: () => {},
};

/** Texts of other people. */
export const HOSTILE_TEXTS: readonly string[] = [
  "<script>document.title = 'owned'</script>",
  "<img src=x onerror=\"document.title='owned'\">",
  "</script><h1>out</h1>",
  "javascript:alert(1)",
  "\u202Egnp.exe\u202C right to left",
  "zero\u200Bwidth\u200D\uFEFF",
  "שלום עולם",
  "{{7*7}} ${7*7}",
  "' or 1=1; drop table messages; --",
  "\u0001\u001b[31mred\u0007",
  "😀 👨‍👩‍👧 e\u0301",
];

export async function fillStore(sql: Sql): Promise<void> {
  for (let number = 1; number <= 20; number++) {
    const id = `${100 + number}`;
    await append(sql, `account-${id}`, [
      {
        type: "Opened",
        data: { holder: `Holder ${number}`, address: { city: "Bern", zip: 3000 } },
      },
      { type: "Deposited", data: { amount: 100 * number } },
    ]);
  }
  await drain(sql, audit);
  for (let number = 1; number <= 30; number++) await transfer(sql, number);
  await drain(sql, letters);
  for (let number = 1; number <= 6; number++) await theAccount.fetch(sql, `${100 + number}`);
  await writeHostile(sql);
}

/** A transfer, from the command to what it has done, across four streams. */
async function transfer(sql: Sql, number: number): Promise<void> {
  const from = `account-${101 + number % 20}`;
  const to = `account-${101 + (number * 7 + 3) % 20}`;
  const amount = 10 * number % 200;
  const last = async (name: string) => (await readLastMessage(sql, name))!;
  await write(sql, `transfer:command-${number}`, {
    type: "Transfer",
    data: { from, to, amount },
    metadata: { correlationStreamName: `customer-${number % 5}`, traceId: `trace-${number}` },
  });
  const command = await last(`transfer:command-${number}`);
  await write(sql, `transfer-${number}`, follow(command, { type: "Initiated", data: { amount } }));
  const initiated = await last(`transfer-${number}`);
  await write(sql, from, follow(initiated, { type: "Withdrawn", data: { amount } }));
  const withdrawn = await last(from);
  await write(sql, to, follow(withdrawn, { type: "Deposited", data: { amount } }));
  const deposited = await last(to);
  await write(sql, `transfer-${number}`, follow(deposited, { type: "Completed", data: null }));
}

export async function writeHostile(sql: Sql): Promise<void> {
  for (const [at, text] of HOSTILE_TEXTS.entries()) {
    await write(sql, `hostile-${text}`, {
      type: text,
      data: JSON.parse(`{${JSON.stringify(text)}:${JSON.stringify(text)},"__proto__":{"a":${at}}}`),
      metadata: { correlationStreamName: text, [text]: text },
    });
  }
  await write(sql, "__proto__-__proto__", {
    type: "__proto__",
    data: JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"x":1}}}'),
  });
  await write(sql, "hostile-odd/?#%2F&=+ \\\"'`<>", { type: "Odd/?#%", data: { amount: 1 } });
  await write(sql, "hostile-large", { type: "Large", data: { text: "x".repeat(1_000_000) } });
  let deep: unknown = "bottom";
  for (let depth = 0; depth < 400; depth++) deep = depth % 2 ? [deep] : { deep };
  await writeBatch(sql, "hostile-shapes", [
    { type: "Deep", data: deep },
    { type: "Text", data: "text" },
    { type: "Number", data: 12 },
    { type: "List", data: [1, [2, [3]], null, true] },
    { type: "Nothing", data: null },
    { type: "Empty", data: {} },
    { type: "Keys", data: Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [at, at])) },
  ]);
}

/** Runs consumers and an aggregate, and writes a message now and then, until the signal aborts. */
export async function runConsumers(sql: Sql, signal: AbortSignal): Promise<void> {
  let number = 1000;
  const timer = setInterval(() => void transfer(sql, ++number).catch(() => {}), 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
  const options = { signal };
  await Promise.all([
    consume(sql, balances, options),
    consume(sql, letters, options),
    consume(sql, statements, options),
    aggregate(sql, {
      name: "ledger",
      from: ["account"],
      partition: ({ streamName }) => Number(streamName.slice(-1)) % 3,
    }, options),
  ]);
}
