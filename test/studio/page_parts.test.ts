/** What the page is made of: no browser is needed. */
import fc from "fast-check";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { ASSETS, PAGE } from "../../src/studio/_assets.ts";
import { pathOf as fileOf } from "../_path_of.ts";
import { changesBetween, pathOf } from "../../src/studio/page/lib/json_changes.ts";
import { isOpenAtFirst, jsonLines } from "../../src/studio/page/lib/json_lines.ts";
import { type JsonTree, plainString, readJsonText } from "../../src/studio/page/lib/json_nodes.ts";
import {
  codeText,
  cutText,
  markedText,
  piecesOf,
  piecesUpTo,
} from "../../src/studio/page/lib/marks.ts";
import { readTime, shownTime, timeProblem } from "../../src/studio/page/lib/times.ts";
import { textOfType, typedTypes } from "../../src/studio/page/lib/typed.ts";
import { placesInTime, type TracedOne, traceRows } from "../../src/studio/page/lib/trace_rows.ts";

const FIRST_PAGE = 60_000;
const SHELL = 1000;

test("the first page is less than 60 kB, compressed, its plot included", () => {
  const plot = Object.keys(ASSETS).find((name) => name.startsWith("plot_drawing-"))!;
  const first = [PAGE.script, PAGE.imported, PAGE.style, PAGE.icon, plot];
  const sizes = first.map((name) => gzipSync(ASSETS[name]!.text).length);
  const total = sizes.reduce((sum, size) => sum + size, SHELL);
  // What the script imports at once would be of the first page, too.
  const importedBy = (name: string) =>
    [...ASSETS[name]!.text.matchAll(/(?<!import\()"\.\/([\w-]+\.js)"/g)].map((it) => it[1]);
  expect(importedBy(PAGE.script)).toEqual([PAGE.imported]);
  expect(importedBy(PAGE.imported)).toEqual([]);
  expect(importedBy(plot)).toEqual([]);
  console.log(`The first page of the studio: ${total} bytes (${first.join(", ")}: ${sizes})`);
  expect(total).toBeLessThan(FIRST_PAGE);
});

test("no source of the page makes markup of a text", () => {
  const root = fileOf("src/studio/page");
  const markup =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc/i;
  const sources = readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name));
  expect(sources.length).toBeGreaterThan(40);
  expect(sources.filter((name) => markup.test(readFileSync(join(root, name), "utf8")))).toEqual([]);
});

describe("the JSON viewer", () => {
  test("reads any JSON as it is", () => {
    fc.assert(fc.property(fc.jsonValue(), fc.nat(4), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const tree = readJsonText(text);
      expect(tree.isWhole).toBe(true);
      expect(valueOf(tree)).toEqual(JSON.parse(text));
    }));
  });

  test("keeps numbers, keys that come twice and their order as they are", () => {
    const text = '{"b":1.10,"a":9007199254740993,"b":-0e5,"__proto__":{"a":null}}';
    const { text: same, nodes } = readJsonText(text);
    expect(nodes.map(({ key }) => key && same.slice(...key)))
      .toEqual([undefined, '"b"', '"a"', '"b"', '"__proto__"', '"a"']);
    expect(nodes.filter(({ kind }) => kind === "number").map((it) => same.slice(it.start, it.end)))
      .toEqual(["1.10", "9007199254740993", "-0e5"]);
  });

  test("reads as far as a text goes that is cut off anywhere", () => {
    const text = JSON.stringify({ a: [1, { b: 'x"y\\z' }, null], c: true, d: [] });
    for (let length = 0; length < text.length; length++) {
      const tree = readJsonText(text.slice(0, length));
      expect(tree.isWhole).toBe(false);
      const lines = jsonLines(tree, () => true);
      expect(lines.filter(({ part }) => part === "begin").length)
        .toBe(lines.filter(({ part }) => part === "end").length);
    }
    expect(readJsonText(`${text}}`).isWhole).toBe(false);
  });

  test("reads what is 200,000 levels deep", () => {
    const text = "[".repeat(200_000) + "]".repeat(200_000);
    const tree = readJsonText(text);
    expect(tree.isWhole).toBe(true);
    expect(jsonLines(tree, () => true).length).toBe(399_999);
    expect(jsonLines(tree, isOpenAtFirst).length).toBe(7);
    const deeper = readJsonText(`[${text}]`);
    expect(changesBetween(tree, deeper).changed.size + changesBetween(tree, deeper).added.size)
      .toBe(1);
  });

  test("shows a long list folded", () => {
    const tree = readJsonText(
      JSON.stringify({ list: Array.from({ length: 5000 }, (_, at) => at) }),
    );
    expect(jsonLines(tree, isOpenAtFirst).map(({ part }) => part)).toEqual([
      "begin",
      "whole",
      "end",
    ]);
  });

  test("reads strings that are cut off", () => {
    expect(plainString('"a\\nb"')).toBe("a\nb");
    expect(plainString('"a\\u00')).toBe("a");
    expect(plainString('"a\\')).toBe("a");
  });

  test("marks what is different between two states", () => {
    const before = readJsonText('{"a":1,"b":{"c":[1,2,3]},"gone":true}');
    const after = readJsonText('{"a":2,"b":{"c":[1,2,4,5]},"new":{"x":1}}');
    const { added, changed, holding, removed } = changesBetween(before, after);
    const paths = (nodes: ReadonlySet<number>) => [...nodes].map((it) => pathOf(after, it)).sort();
    expect(paths(changed)).toEqual(["a", "b.c[2]"]);
    expect(paths(added)).toEqual(["b.c[3]", "new"]);
    expect(paths(holding)).toEqual(["", "b", "b.c"]);
    expect(removed).toEqual([{ path: "gone", text: "true" }]);
  });
});

describe("a foreign text", () => {
  test("has its hidden characters shown", () => {
    expect(piecesOf("a\u202Eb\u200Bc")).toEqual([
      { text: "a", isMark: false },
      { text: "RLO", isMark: true },
      { text: "b", isMark: false },
      { text: "ZWSP", isMark: true },
      { text: "c", isMark: false },
    ]);
    expect(piecesOf("\u0000\n\t", "\n\t").map(({ text }) => text)).toEqual(["NUL", "\n\t"]);
    expect(piecesOf("\ud800x")[0]).toEqual({ text: "D800", isMark: true });
    expect(piecesOf("שלום 😀 e\u0301")).toEqual([{ text: "שלום 😀 e\u0301", isMark: false }]);
  });

  test("has the spaces at its ends shown, and that it is empty", () => {
    const shown = (text: string, most = 10) =>
      piecesUpTo(most, text).map(({ text, isMark }) => isMark ? `<${text}>` : text).join("");
    expect(shown(" ")).toBe("<SP>");
    expect(shown(" a b\u00a0")).toBe("<SP>a b<NBSP>");
    expect(shown("a bc", 2)).toBe("a…");
    expect(shown("")).toBe("<(empty)>");
    expect(markedText("a\u202eb ")).toBe("a[RLO]b[SP]");
    expect(markedText("")).toBe("(empty)");
  });

  test("is a text in code, whatever it holds", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
      const code = codeText(text);
      expect(JSON.parse(code)).toBe(text);
      expect(piecesOf(code)).toEqual([{ text: code, isMark: false }]);
    }));
    expect(codeText('a\u202e"\u{e0041}')).toBe('"a\\u202e\\"\\udb40\\udc41"');
  });

  test("is not cut within a character", () => {
    expect(cutText("ab😀", 3)).toBe("ab");
    expect(cutText("ab😀", 4)).toBe("ab😀");
  });
});

test("a time can be typed as one says it", () => {
  const now = new Date(2026, 0, 31, 12, 0, 0);
  const local = (...parts: [number, number, number, number?, number?]) =>
    new Date(...parts).toISOString();
  expect(readTime("2 h", now)).toBe(local(2026, 0, 31, 10));
  expect(readTime("15min ago", now)).toBe(local(2026, 0, 31, 11, 45));
  expect(readTime("today", now)).toBe(local(2026, 0, 31));
  expect(readTime("yesterday", now)).toBe(local(2026, 0, 30));
  expect(readTime("9:30", now)).toBe(local(2026, 0, 31, 9, 30));
  expect(readTime("12:30", now)).toBe(local(2026, 0, 30, 12, 30));
  expect(readTime("2026-01-02", now)).toBe(local(2026, 0, 2));
  expect(readTime("2026-01-02 03:04", now)).toBe(local(2026, 0, 2, 3, 4));
  expect(readTime("2026-01-02T03:04:00.000Z", now)).toBe("2026-01-02T03:04:00.000Z");
  expect(readTime("2026-1-2", now)).toBeUndefined();
  expect(readTime("2026-01-02 3:04:05", now)).toBe(new Date(2026, 0, 2, 3, 4, 5).toISOString());
  for (const wrong of ["", "soon", "2 x", "2026-13-45", "12345", "a\nb"]) {
    expect(readTime(wrong, now)).toBeUndefined();
  }
});

test("a time that there is not is not taken for another", () => {
  for (
    const wrong of [
      "25:00",
      "24:00",
      "12:60",
      "12:30:61",
      "2026-02-31",
      "2026-02-31 12:00",
      "2026-01-31 25:00",
      "0000-01-01",
      "200000 w",
      "99999999999999999999 w",
      "-1",
    ]
  ) {
    expect(readTime(wrong), wrong).toBeUndefined();
    expect(timeProblem(wrong), wrong).toContain("2026-01-31 12:00");
    expect(shownTime(wrong), wrong).toBe(wrong);
  }
  expect(readTime("2024-02-29")).toBe(new Date(2024, 1, 29).toISOString());
  expect(timeProblem("")).toBeUndefined();
});

test("any types can be typed, with commas between", () => {
  fc.assert(fc.property(fc.array(fc.string({ minLength: 1 })), (types) => {
    expect(typedTypes(types.map(textOfType).join(","))).toEqual(types);
  }));
  expect(typedTypes("Opened,Closed\\, for good,,a\\b")).toEqual([
    "Opened",
    "Closed, for good",
    "a\\b",
  ]);
});

describe("a trace", () => {
  const message = (globalPosition: number, cause: number | null): TracedOne => ({
    id: `${globalPosition}`,
    streamName: "a-1",
    type: "A",
    position: globalPosition,
    globalPosition,
    time: new Date(globalPosition * 1000).toISOString(),
    role: "effect",
    cause,
    namedCause: null,
    depth: 0,
  });

  test("is a tree: each message is followed by its effects", () => {
    const rows = traceRows([[1, null], [2, 1], [3, 1], [4, 2], [5, 3], [6, null]].map(
      ([position, cause]) => message(position!, cause!),
    ));
    expect(rows.map((it) => [it.message.globalPosition, it.depth, it.cause, it.effect])).toEqual([
      [1, 0, -1, 1],
      [2, 1, 0, 2],
      [4, 2, 1, -1],
      [3, 1, 0, 4],
      [5, 2, 3, -1],
      [6, 0, -1, -1],
    ]);
    expect(placesInTime(rows)).toEqual([0, 0.2, 0.6, 0.4, 0.8, 1]);
  });

  test("of 100,000 messages, each the cause of the next, does not overflow", () => {
    const chain = Array.from({ length: 100_000 }, (_, at) => message(at, at === 0 ? null : at - 1));
    const rows = traceRows(chain);
    expect(rows.at(-1)!.depth).toBe(99_999);
    expect(placesInTime(rows).at(-1)).toBe(1);
  });
});

/** The value of a tree, as JSON.parse makes it. */
function valueOf({ text, nodes }: JsonTree): unknown {
  const values = nodes.map(({ kind, start, end }): unknown =>
    kind === "object" ? {} : kind === "array" ? [] : JSON.parse(text.slice(start, end))
  );
  for (const [index, { parent, key }] of nodes.entries()) {
    if (parent === -1) continue;
    const holder = values[parent] as Record<string, unknown> | unknown[];
    if (Array.isArray(holder)) holder.push(values[index]);
    else {
      Object.defineProperty(holder, JSON.parse(text.slice(...key!)), {
        value: values[index],
        enumerable: true,
        configurable: true,
        writable: true,
      });
    }
  }
  return values[0];
}
