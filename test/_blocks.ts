import { readdirSync, readFileSync } from "node:fs";
import ts from "typescript";
import { pathOf } from "./_path_of.ts";

/** An example, between fences. */
export interface Block {
  /** From the root of the repository. */
  readonly file: string;
  /** The line of its first line, from 1. */
  readonly line: number;
  readonly language: string;
  /** What stands in brackets behind the language: the name of the file that the block is. */
  readonly name: string | undefined;
  readonly code: string;
}

/** The pages in a folder and the folders below it. */
export function markdownFiles(folder: string): string[] {
  return readdirSync(pathOf(folder), { recursive: true, encoding: "utf8" })
    .filter((path) =>
      path.endsWith(".md") && !/node_modules|^reference\/api\/|\.vitepress/.test(path)
    )
    .map((path) => `${folder}/${path}`)
    .sort();
}

export function blocksOfMarkdown(file: string): Block[] {
  return blocksOf(file, readFileSync(pathOf(file), "utf8"), 1);
}

/** The examples in the documentation of `mod.ts` and `src`. */
export function blocksOfSource(): Block[] {
  const files = readdirSync(pathOf("src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => `src/${file}`);
  return ["mod.ts", ...files.sort()].flatMap((file) => {
    const text = readFileSync(pathOf(file), "utf8");
    return [...text.matchAll(/^\/\*\*$.*?^ \*\/$/gms)].flatMap(({ 0: comment, index }) => {
      const line = text.slice(0, index).split("\n").length;
      return blocksOf(file, comment.replaceAll(/^ \* ?/gm, ""), line);
    });
  });
}

function blocksOf(file: string, text: string, firstLine: number): Block[] {
  const fences = text.matchAll(/^```(\w+)(?: \[(.+)\])?.*\n([^]*?)^```$/gm);
  return [...fences].map(({ 1: language, 2: name, 3: code, index }) => {
    const line = firstLine + text.slice(0, index).split("\n").length;
    return { file, line, language: language!, name, code: code! };
  });
}

/**
 * A block as a program that fails where a comment is wrong or not reached, line by line as it was.
 *
 * `const balance = 6; // 6`, `balance; // 6` and `console.log(balance); // 6` say what is expected.
 */
export function toProgram({ code }: Block): string {
  const source = ts.createSourceFile("block.ts", code, ts.ScriptTarget.Latest, true);
  const insertions: { readonly at: number; readonly text: string }[] = [];
  let count = 0;
  const visit = (node: ts.Node): void => {
    ts.forEachChild(node, visit);
    if (!ts.isExpressionStatement(node)) return;
    const [comment] = ts.getTrailingCommentRanges(code, node.end) ?? [];
    const expected = comment && json(code.slice(comment.pos + "//".length, comment.end));
    if (expected === undefined) return;
    let { expression } = node;
    if (ts.isCallExpression(expression) && expression.expression.getText() === "console.log") {
      expression = expression.arguments[0]!;
    }
    insertions.push(
      { at: expression.getStart(), text: `__is(${count++}, ${expected}, ` },
      { at: expression.end, text: ")" },
    );
  };
  visit(source);
  let program = code;
  for (const { at, text } of insertions.sort((a, b) => b.at - a.at)) {
    program = program.slice(0, at) + text + program.slice(at);
  }

  const makesHandle = /^const sql\b/m.test(code);
  const prelude = [
    'import { deepStrictEqual as __equal } from "node:assert";',
    "const __reached = new Set<number>();",
    "const __is = (at: number, expected: unknown, actual: unknown): void => {",
    "__reached.add(at); __equal(actual, expected); };",
    makesHandle ? "" : 'const sql: import("postgres").Sql = Reflect.get(globalThis, "sql");',
  ];
  const epilogue = [
    // A server goes on.
    makesHandle && !/^serve\(/m.test(code)
      ? "await (sql as { end?(): Promise<void> }).end?.();"
      : "",
    /^const pool\b/m.test(code) && !code.includes("pool.end()") ? "await pool.end();" : "",
    `__equal(__reached.size, ${count}, "a comment was not reached");`,
    "export {};",
  ];
  return `${prelude.join(" ")} ${program}${epilogue.join("\n")}\n`;
}

function json(text: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return undefined;
  }
}
