/** How `src/` is built: what may import what. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { pathOf } from "./_blocks.ts";

/** From the ground up. A wing imports from those above it in this list, and not from its neighbours. */
const FLOORS: readonly (readonly string[])[] = [
  ["lib"],
  ["."],
  ["names"],
  ["handle"],
  ["messages"],
  ["write", "read"],
  ["subscribe"],
  ["consume", "decide"],
  ["http/gateway"],
  ["http/gateway/sql", "http/gateway/rest"],
  ["http"],
  ["database"],
];

const root = pathOf("src");
const paths = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => join(root, path));
const files = paths.map((path) =>
  ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.ESNext, true)
);
const nameOf = (path: string): string => relative(root, path);
const wingOf = (path: string): string => nameOf(dirname(path)) || ".";

/** The files of `src` that each file imports, for types too. */
const imports = new Map(files.map((file) => [file.fileName, importsOf(file)]));

function importsOf(file: ts.SourceFile): string[] {
  const imported: string[] = [];
  const visit = (node: ts.Node): void => {
    let specifier: ts.Node | undefined;
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) {
      specifier = node.moduleSpecifier;
    } else if (ts.isImportTypeNode(node)) specifier = (node.argument as ts.LiteralTypeNode).literal;
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      specifier = node.arguments[0];
    }
    if (specifier && ts.isStringLiteral(specifier) && specifier.text.startsWith(".")) {
      imported.push(join(dirname(file.fileName), specifier.text));
    }
    node.forEachChild(visit);
  };
  visit(file);
  return imported;
}

describe("imports", () => {
  test("go down from wing to wing, and not to a neighbour", () => {
    const floorOf = (path: string) => FLOORS.findIndex((wings) => wings.includes(wingOf(path)));
    expect(paths.filter((path) => floorOf(path) === -1).map(nameOf)).toEqual([]);
    const wrong = [...imports].flatMap(([from, targets]) =>
      targets
        .filter((to) => wingOf(to) !== wingOf(from) && floorOf(to) >= floorOf(from))
        .map((to) => `${nameOf(from)} imports ${nameOf(to)}`)
    );
    expect(wrong).toEqual([]);
  });

  test("make no circle, by types neither", () => {
    const isDone = new Set<string>();
    const circles: string[] = [];
    const walk = (path: string, way: readonly string[]): void => {
      if (way.includes(path)) {
        circles.push([...way.slice(way.indexOf(path)), path].map(nameOf).join(" > "));
      }
      if (isDone.has(path)) return;
      isDone.add(path);
      for (const next of imports.get(path)!) walk(next, [...way, path]);
    };
    for (const path of paths) walk(path, []);
    expect(circles).toEqual([]);
  });
});
