import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, test } from "vitest";
import {
  cardinalId,
  category,
  categoryName,
  entityName,
  id,
  ids,
  isCategory,
  streamName,
  types,
} from "../../mod.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

test("category(), id(), cardinalId() and isCategory() agree with Message DB's", async () => {
  const name = fc.oneof(
    fc.string({
      unit: fc.constantFrom("a", "B", "-", "+", ":", "é", "😀", " ", "\\"),
    }),
    fc.string().filter((text) => !text.includes("\0")),
  );
  const sql = db.connect({ connection: { search_path: "message_store" } });
  await fc.assert(
    fc.asyncProperty(
      fc.array(name, { minLength: 20, maxLength: 40 }),
      async (names) => {
        const rows = await sql`
        select
          category(name) as category, id(name) as id, cardinal_id(name) as "cardinalId",
          is_category(name) as "isCategory"
        from json_array_elements_text(${JSON.stringify(names)}::text::json) as names(name)`;
        assert.deepEqual(
          [...rows],
          names.map((name) => ({
            category: category(name),
            id: id(name),
            cardinalId: cardinalId(name),
            isCategory: isCategory(name),
          })),
        );
      },
    ),
    { numRuns: 100 },
  );
});

test("what streamName() composes is taken apart again", () => {
  const part = fc.string({ minLength: 1 }).filter((text) => !/[-+:]/.test(text));
  fc.assert(
    fc.property(
      part,
      fc.array(part, { minLength: 1 }),
      fc.array(part),
      fc.array(part, { maxLength: 2 }),
      (name, parts, own, added) => {
        const typed = own.length ? `${name}:${own.join("+")}` : name;
        const whole = streamName(typed, parts, added);
        assert.deepEqual(ids(whole), parts);
        assert.deepEqual(types(whole), [...own, ...added]);
        assert.equal(cardinalId(whole), parts[0]);
        assert.equal(streamName(category(whole), id(whole)!), whole);
        assert.equal(categoryName(typed, added), category(whole));
        assert.equal(entityName(whole), name);
        assert.equal(streamName(categoryName(entityName(whole), types(whole)), parts), whole);
      },
    ),
  );
});

describe("categoryName()", () => {
  test("adds types, or none", () => {
    assert.equal(categoryName("account", ["command"]), "account:command");
    assert.equal(categoryName("account", ["command", "position"]), "account:command+position");
    assert.equal(categoryName("account:command", ["position"]), "account:command+position");
    assert.equal(categoryName("account", []), "account");
  });

  test("refuses what would be read back as another name", () => {
    for (const category of ["account-1", "", undefined]) {
      assert.throws(() => categoryName(category as string, []), /as "category"/);
    }
    for (const type of ["", "a-b", "a+b", "a:b", 5]) {
      assert.throws(() => categoryName("account", [type as string]), /as "types"/);
    }
  });
});

describe("entityName()", () => {
  test("is the category without types, of any name", () => {
    assert.equal(entityName("account:command+position-1:2"), "account");
    assert.equal(entityName("account-1:2"), "account");
    assert.equal(entityName("account:command"), "account");
    assert.equal(entityName("account"), "account");
  });
});

describe("streamName()", () => {
  test("takes an id, a compound id, and types", () => {
    assert.equal(streamName("account", "123"), "account-123");
    assert.equal(streamName("account", "1-2-3"), "account-1-2-3");
    assert.equal(streamName("transfer", ["123", "456"]), "transfer-123+456");
    assert.equal(streamName("account", "1", ["command"]), "account:command-1");
    assert.equal(
      streamName("account:command", "1", ["position"]),
      "account:command+position-1",
    );
  });

  test("refuses parts that would be read back as others", () => {
    // deno-lint-ignore no-explicit-any -- bad input is what the types refuse
    const call = (...parts: any[]) => () => streamName(...parts as [string, string, string[]]);
    for (
      const bad of [
        call("", "1"),
        call("account-1", "1"),
        call(undefined, "1"),
        call("account", ""),
        call("account", []),
        call("account", 5),
        call("account", ["1", ""]),
        call("account", ["1+2", "3"]),
        call("account", ["1+2"]),
        call("account", "1", [""]),
        call("account", "1", ["a+b"]),
        call("account", "1", ["a-b"]),
      ]
    ) assert.throws(bad, TypeError);
  });
});
