import assert from "node:assert/strict";
import { beforeAll, describe, test } from "vitest";
import * as client from "../../mod.ts";
import { translateDriverError } from "../../src/handle/_driver_error.ts";
import { useDatabase } from "../database.ts";
import { SERVER_TEXTS } from "./_server_texts.ts";

const db = useDatabase();

/** One operation of each kind of statement. */
const operations: ((sql: client.Sql) => Promise<unknown>)[] = [
  (sql) => client.write(sql, "account-1", { type: "Written" }),
  (sql) => client.writeBatch(sql, "account-1", [{ type: "Written" }]),
  (sql) => client.readStream(sql, "account-1"),
  (sql) => client.readCategory(sql, "account", { direction: "backward" }),
  (sql) => client.readAll(sql),
  (sql) => client.streamVersion(sql, "account-1"),
  (sql) => client.categories(sql),
  (sql) => client.messageStoreVersion(sql),
];

describe("NotInstalledError", () => {
  beforeAll(async () => {
    await db.sql`drop role if exists errors_stranger`;
    await db.sql`create role errors_stranger`;
  });

  test("says that there is no Message DB in the database", async () => {
    const sql = db.connect({ database: "postgres" });
    for (const operation of operations) {
      await assert.rejects(operation(sql), {
        name: "NotInstalledError",
        code: "NOT_INSTALLED",
        reason: "missing",
        message: /Cannot find Message DB .* install\(sql\)/,
      });
    }
  });

  const refusesStranger = async () => {
    for (const operation of operations) {
      await db.sql.begin(async (sql) => {
        await sql`set local role errors_stranger`;
        await assert.rejects(operation(sql), {
          name: "NotInstalledError",
          reason: "forbidden",
          message: /this role lacks the rights.*grant message_store to/,
        });
        throw new Error("back");
      }).catch((error) => assert.equal(error.message, "back"));
    }
  };

  test("says that the role has no right to it", refusesStranger);

  test("says so of rights that a role has only in part", async () => {
    await db.sql`grant usage on schema message_store to errors_stranger`;
    await db.sql`revoke execute on all functions in schema message_store from public`;
    await refusesStranger();
    await db.sql`revoke all on schema message_store from errors_stranger`;
    await db.sql`drop role errors_stranger`;
  });

  test("is not what a policy throws that refuses a message", async () => {
    await db.sql.begin(async (sql) => {
      await sql`alter table message_store.messages enable row level security`;
      await sql`create policy readers on message_store.messages for select using (true)`;
      await sql`set local role message_store`;
      const written = client.write(sql, "account-1", { type: "Opened" });
      await assert.rejects(written, { code: "42501", message: /row-level security/ });
      throw new Error("back");
    }).catch((error) => assert.equal(error.message, "back"));
  });

  test("says so of a Message DB that is older than 1.3", async () => {
    await db.sql.begin(async (sql) => {
      await sql`drop function message_store.get_last_stream_message(varchar, varchar)`;
      const account = client.entity({
        category: "account",
        init: () => 0,
        evolve: (count: number) => count + 1,
        snapshot: { every: 1 },
      });
      await client.write(sql, "account-1", { type: "Opened" });
      await assert.rejects(account.fetch(sql, "1"), { reason: "missing" });
      throw new Error("back");
    }).catch((error) => assert.equal(error.message, "back"));
  });

  test("is not what a mistake in a condition is", async () => {
    const sql = db.connect({
      connection: { "message_store.sql_condition": "on" },
    });
    for (
      const [condition, code] of [
        ["nothing = 1", "42703"],
        ["no_function(position)", "42883"],
        ["position in (select 1 from no_table)", "42P01"],
        ["position = = 1", "42601"],
      ] as const
    ) {
      await assert.rejects(client.readStream(sql, "account-1", { condition }), {
        name: "PostgresError",
        code,
      });
    }
  });
});

describe("an error is known", () => {
  test("by each of our objects that a role may not use", () => {
    for (
      const object of [
        "schema message_store",
        "table messages",
        "sequence messages_global_position_seq",
        ...["write_message", "get_stream_messages", "category", "id", "message_store_version"]
          .map((name) => `function ${name}`),
      ]
    ) {
      const known = translateDriverError({
        code: "42501",
        message: `permission denied for ${object}`,
      });
      assert.ok(known instanceof client.NotInstalledError, object);
      assert.equal(known.reason, "forbidden");
    }
  });

  const wrong = "Wrong expected version: 5 (Stream: account-1, Stream Version: 7)";

  test("by its SQLSTATE as the drivers carry it, and by its words with a prefix before them", () => {
    for (
      const error of [
        { code: "P0001", message: wrong },
        { code: "ERR_POSTGRES_SERVER_ERROR", errno: "P0001", message: wrong },
        { code: "P0001", message: `proxy: ERROR: ${wrong}` },
      ]
    ) {
      const known = translateDriverError(error);
      assert.ok(known instanceof client.WrongExpectedVersionError);
      assert.ok(known instanceof client.MessageDbError);
      assert.equal(known.actualVersion, 7);
      assert.equal(known.cause, error);
    }
  });

  test("of Message DB's own functions, which call each other without a schema", () => {
    const message = "function is_category(character varying) does not exist";
    assert.ok(translateDriverError({ code: "42883", message }) instanceof client.NotInstalledError);
  });

  describe.each(Object.entries(SERVER_TEXTS))("of a server that speaks %s", (_, texts) => {
    const say = (text: string, ...names: string[]) =>
      names.reduce((it, name) => it.replace("%s", name), text);
    const reasonOf = (code: string, message: string) => {
      const known = translateDriverError({ code, message });
      return known instanceof client.NotInstalledError ? known.reason : known;
    };
    const isOther = (code: string, message: string) => {
      const error = { code, message };
      assert.equal(translateDriverError(error), error);
    };

    test("is known where Message DB is missing", () => {
      for (
        const [code, message] of [
          ["3F000", say(texts.schema, "message_store")],
          ["42P01", say(texts.relation, "messages")],
          ["42P01", say(texts.relation, "message_store.messages")],
          ["42P01", say(texts.qualified, "message_store", "messages")],
          ["42883", say(texts.function, "message_store.write_message(text, text)")],
          ["42883", say(texts.function, "is_category(character varying)")],
          ["42883", say(texts.function, "hash_64(character varying)")],
        ] as const
      ) assert.equal(reasonOf(code, message), "missing", message);
    });

    test("is known where the role has no right", () => {
      for (
        const message of [
          say(texts.noSchema, "message_store"),
          say(texts.noTable, "messages"),
          say(texts.noSequence, "messages_global_position_seq"),
          ...["write_message", "get_stream_messages", "category", "id", "message_store_version"]
            .map((name) => say(texts.noFunction, name)),
        ]
      ) assert.equal(reasonOf("42501", message), "forbidden", message);
    });

    test("is another's where it is of other names", () => {
      isOther("3F000", say(texts.schema, "audit"));
      for (const name of ["audit", "message_store_audit", "audit.messages", "user_messages"]) {
        isOther("42P01", say(texts.relation, name));
      }
      isOther("42883", say(texts.function, "send_message_store_event(text)"));
      for (const name of ["audit", "user_messages", "category", "id", "ids"]) {
        isOther("42501", say(texts.noTable, name));
      }
      for (const name of ["category_of", "idle", "my_write_message"]) {
        isOther("42501", say(texts.noFunction, name));
      }
    });

    test("is known by the key that is there already", () => {
      const id = "6f5e0a5c-5d1a-4d0e-9d6c-2f3b8a1c7e90";
      const duplicate = translateDriverError({
        code: "23505",
        constraint_name: "messages_id",
        detail: say(texts.key, `(id)=(${id})`),
      });
      assert.ok(duplicate instanceof client.DuplicateMessageError);
      assert.equal(duplicate.id, id);
      const taken = translateDriverError({
        code: "23505",
        constraint_name: "messages_stream",
        detail: say(texts.key, '(stream_name, "position")=(a (b), c-1, 7)'),
      });
      assert.ok(taken instanceof client.WrongExpectedVersionError);
      assert.deepEqual([taken.streamName, taken.actualVersion], ["a (b), c-1", 7]);
    });
  });

  test("by its constraint as the drivers name it", () => {
    const id = "6f5e0a5c-5d1a-4d0e-9d6c-2f3b8a1c7e90";
    const detail = `Key (id)=(${id}) already exists.`;
    for (
      const error of [
        { code: "23505", constraint_name: "messages_id", detail },
        {
          errno: "23505",
          code: "ERR_POSTGRES_SERVER_ERROR",
          constraint: "messages_id",
          detail,
        },
      ]
    ) {
      const known = translateDriverError(error);
      assert.ok(known instanceof client.DuplicateMessageError);
      assert.equal(known.id, id);
    }
  });

  test("only when it is one of ours: anything else passes through", () => {
    for (
      const error of [
        { code: "EPIPE", message: wrong },
        { code: "P0001", message: "Wrong expected version" },
        {
          code: "23505",
          constraint_name: "others_id",
          detail: "Key (id)=(1) already exists.",
        },
        { code: "42501", message: "permission denied for table audit" },
        { code: "42501", message: "permission denied for table user_messages" },
        { code: "42501", message: "permission denied for table category" },
        { code: "42P01", message: 'relation "message_store_audit" does not exist' },
        { code: "42883", message: "function send_message_store_event(text) does not exist" },
        { code: "P0001", message: "my SQL condition is not activated yet" },
        {
          code: "23505",
          constraint: "messages_id",
          table: "audit",
          detail: "Key (id)=(1) already exists.",
        },
        {
          code: "23505",
          constraint_name: "messages_id",
          table_name: "audit",
          detail: "Key (id)=(1)",
        },
        { code: "42P01", message: 'relation "audit" does not exist' },
        new Error(wrong),
        undefined,
        null,
        "text",
      ]
    ) assert.equal(translateDriverError(error), error);
  });
});
