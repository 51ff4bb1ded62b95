import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonUpTo } from "../../src/studio/_json_up_to.ts";
import { parseKeepingNumbers } from "../../src/studio/_kept_numbers.ts";

test("what fits is as JSON.stringify() writes it, and what does not is its beginning", () => {
  fc.assert(fc.property(fc.jsonValue(), fc.nat(60), (value, limit) => {
    const whole = JSON.stringify(value);
    expect(jsonUpTo(limit, value)).toEqual({
      text: whole.slice(0, limit),
      isCut: whole.length > limit,
    });
  }));
});

test("what JSON does not have is shown as what is nearest to it", () => {
  const circular: Record<string, unknown> = { big: 1n, none: undefined, not: NaN };
  circular["itself"] = circular;
  circular["list"] = [undefined, new Set([1]), new Map([["a", new Date(0)]])];
  expect(jsonUpTo(1000, circular).text).toBe(
    '{"big":"1n","not":null,"itself":"[circular]","list":[null,[1],{"a":"1970-01-01T00:00:00.000Z"}]}',
  );
  expect(jsonUpTo(1000, Object.fromEntries([["__proto__", 1]])).text).toBe('{"__proto__":1}');
  const failing = { toJSON: () => [].at(0)!["name"] };
  const failed = jsonUpTo(1000, failing);
  expect(failed.text).toMatch(/^"Cannot show this state as JSON: TypeError/);
  expect(failed.isCut).toBe(true);
});

test("what is beyond the limit is not looked at", () => {
  const untouched = Object.defineProperty({}, "name", {
    enumerable: true,
    get: () => expect.unreachable(),
  });
  expect(jsonUpTo(10, ["x".repeat(1_000_000), untouched])).toEqual({
    text: '["xxxxxxxx',
    isCut: true,
  });
});

test("a value may be 100,000 levels deep", () => {
  const [begin, end] = ['[{"a":'.repeat(50_000), "}]".repeat(50_000)];
  const deep = JSON.parse(`${begin}1${end}`);
  expect(jsonUpTo(1_000_000, deep)).toEqual({ text: `${begin}1${end}`, isCut: false });
  expect(jsonUpTo(100, deep)).toEqual({ text: begin.slice(0, 100), isCut: true });
});

test("numbers are kept as the store has them, and all else is as JSON.parse() reads it", () => {
  const kept = (json: string) => jsonUpTo(1000, parseKeepingNumbers(json)).text;
  for (
    const json of [
      "12345678901234567890",
      "-0.10",
      '[1,2.50,-9007199254740993,1E+400,"12345678901234567890"]',
      '{"a 12345678901234567890":{"\\\\":123456789012345678901,"\\"1.50":"\\\\\\"1.50"},"b":1.50}',
    ]
  ) expect(kept(json)).toBe(json);
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    const json = JSON.stringify(value);
    expect(kept(json)).toBe(json.slice(0, 1000));
  }));
  fc.assert(fc.property(fc.bigInt(), fc.string(), (number, text) => {
    const json = `[${JSON.stringify(text)},${number},{${JSON.stringify(text)}:${number}}]`;
    expect(kept(json)).toBe(json.slice(0, 1000));
  }));
});
