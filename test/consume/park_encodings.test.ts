import assert from "node:assert/strict";
import { describe, onTestFinished, test } from "vitest";
import { drain, type Message, type Parked, readStream, replayParked, write } from "../../mod.ts";
import { install } from "../../src/database/install.ts";
import { openHandle, useDatabase } from "../database.ts";

const db = useDatabase();

/** A database of an encoding, with Message DB. */
async function databaseOf(encoding: string) {
  const name = `encoding_${encoding}_${crypto.randomUUID().slice(0, 8)}`.toLowerCase();
  await db.sql.unsafe(
    `create database ${name} encoding '${encoding}' template template0 lc_collate 'C' lc_ctype 'C'`,
  );
  onTestFinished(() => db.sql.unsafe(`drop database ${name} with (force)`).then(() => {}));
  const sql = openHandle(Object.assign(new URL(db.url), { pathname: name }), { onnotice() {} });
  await install(sql);
  return sql;
}

const chinese = Array.from({ length: 60 }, (_, at) => String.fromCharCode(0x4e00 + at)).join("");
/** What a text becomes in each encoding. */
const texts: Record<string, [thrown: string, stored: string][]> = {
  LATIN1: [
    ["5 € zu wenig für Müller", "5 ? zu wenig für Müller"],
    ["€, “quoted”, 😀", "?, ?quoted?, ?"],
    [chinese, "?".repeat(60)],
    ["0xe2 0x82 0xac €", "0xe2 0x82 0xac ?"],
  ],
  LATIN9: [["5 € für 中", "5 € für ?"]],
  WIN1251: [["Ошибка: ü", "Ошибка: ?"]],
  SQL_ASCII: [["5 € für 😀", "5 € für 😀"]],
  UTF8: [["5 € für 😀", "5 € für 😀"]],
};

describe.each(Object.entries(texts))("in a database of %s", (encoding, cases) => {
  test.each([false, true])(
    "a message is parked whatever its error says, transactional: %s",
    async (transactional) => {
      const sql = await databaseOf(encoding);
      for (const [at] of cases.entries()) {
        await write(sql, `letter-${at}`, { type: "Sent", data: at });
      }
      const consumer = {
        category: "letter",
        consumerId: "it",
        onError: "park",
        transactional,
      } as const;
      const handle = ({ data }: Message) => {
        throw new Error(cases[data as number]![0]);
      };
      await drain(sql, { ...consumer, handle } as never);
      const parked = await readStream<Parked>(sql, "letter:parked-it");
      assert.deepEqual(
        parked.map(({ data: { error } }) => error!.message),
        cases.map(([, stored]) => stored),
      );
      assert.deepEqual(await replayParked(sql, { ...consumer, handle() {} } as never), {
        replayed: cases.length,
        parked: 0,
        busy: false,
      });
    },
  );
});

test("a message is parked whatever is thrown", async () => {
  const revoked = Proxy.revocable({}, {});
  revoked.revoke();
  const thrown: unknown[] = [
    "\0\ud800",
    `${"x".repeat(9_999)}😀${"y".repeat(1_000_000)}`,
    Object.assign(new Error("x"), { message: Object.create(null) }),
    Object.defineProperty(new Error(), "message", {
      get() {
        throw new Error("getter");
      },
    }),
    Object.assign(new Error("x"), { name: Symbol("s") }),
    revoked.proxy,
    Object.create(null),
    undefined,
    null,
  ];
  for (const [at] of thrown.entries()) await write(db.sql, "any-1", { type: "Sent", data: at });
  const { handled } = await drain(db.sql, {
    category: "any",
    consumerId: "it",
    onError: "park",
    handle: ({ data }) => {
      throw thrown[data as number];
    },
  });
  assert.equal(handled, thrown.length);
  const parked = await readStream<Parked>(db.sql, "any:parked-it");
  assert.equal(parked.length, thrown.length);
  assert.ok(parked.every(({ data: { error } }) => error!.message.length <= 10_000));
});
