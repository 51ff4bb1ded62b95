/** How `src/` is built: what may import what, what is private, and how large things are. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import process from "node:process";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import denoJson from "../deno.json" with { type: "json" };
import { pathOf } from "./_path_of.ts";

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
  ["operate"],
  ["http/gateway"],
  ["http/gateway/sql", "http/gateway/rest"],
  ["http"],
  ["otel"],
  ["database"],
  ["testing", "studio"],
  ["studio/page/lib"],
  ["studio/page/parts"],
  ["studio/page/views"],
  ["studio/page"],
  ["cli/terminal"],
  ["cli/commands"],
  ["cli"],
];
/** Wings that are no part of what the package exports. */
const PRIVATE: readonly string[] = [
  "lib",
  "cli",
  "cli/terminal",
  "cli/commands",
  "studio/page",
  "studio/page/lib",
  "studio/page/parts",
  "studio/page/views",
];
const LONGEST_FUNCTION = 60;

const root = pathOf("src");
const entries = Object.values(denoJson.exports).map(pathOf);
const paths = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => join(root, path));
const program = ts.createProgram([...entries, ...paths], {
  allowImportingTsExtensions: true,
  jsx: ts.JsxEmit.ReactJSX,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  noEmit: true,
  noLib: true,
  types: [],
});
const checker = program.getTypeChecker();
const files = paths.map((path) => program.getSourceFile(path)!);
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
    if (specifier && ts.isStringLiteral(specifier) && /^\..*\.tsx?$/.test(specifier.text)) {
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

describe("a file", () => {
  const published = new Set(
    entries.flatMap((entry) => exportsOf(program.getSourceFile(entry)!).map(declared)),
  );
  const isPrivate = ({ fileName }: ts.SourceFile) =>
    basename(fileName).startsWith("_") || PRIVATE.includes(wingOf(fileName));
  const namesOf = (wanted: ts.SourceFile[], isWanted: (symbol: ts.Symbol) => boolean) =>
    wanted.flatMap((file) =>
      exportsOf(file).filter((symbol) => isWanted(declared(symbol)))
        .map(({ name }) => `${nameOf(file.fileName)}: ${name}`)
    );

  test("with _, or in a private wing, exports nothing that an entry exports", () => {
    expect(namesOf(files.filter(isPrivate), (symbol) => published.has(symbol))).toEqual([]);
  });

  test("without _ exports what an entry exports, and nothing else", () => {
    const open = files.filter((file) => !isPrivate(file));
    expect(namesOf(open, (symbol) => !published.has(symbol))).toEqual([]);
    expect(open.filter((file) => exportsOf(file).length === 0).map(({ fileName }) => fileName))
      .toEqual([]);
  });

  test("declares no name that another declares", () => {
    const filesOf = new Map<string, string[]>();
    for (const file of files) {
      // A view of the page has columns and parts of its own: nobody looks for them elsewhere.
      const isOfPage = wingOf(file.fileName).startsWith("studio/page");
      for (const name of new Set(isOfPage ? exportedBy(file) : declaredIn(file))) {
        filesOf.set(name, [...filesOf.get(name) ?? [], nameOf(file.fileName)]);
      }
    }
    expect([...filesOf].filter(([, { length }]) => length > 1)).toEqual([]);
  });
});

function exportsOf(file: ts.SourceFile): ts.Symbol[] {
  const module = checker.getSymbolAtLocation(file);
  return module === undefined ? [] : checker.getExportsOfModule(module);
}

/** What a symbol stands for, where it is exported again. */
function declared(symbol: ts.Symbol): ts.Symbol {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

function exportedBy(file: ts.SourceFile): string[] {
  return exportsOf(file).map(({ name }) => name);
}

function declaredIn(file: ts.SourceFile): string[] {
  return file.statements.flatMap((statement) => {
    const names = ts.isVariableStatement(statement)
      ? statement.declarationList.declarations.map(({ name }) => name)
      : [(statement as ts.Statement & { name?: ts.Node }).name];
    return names.flatMap((name) => name && ts.isIdentifier(name) ? [name.text] : []);
  });
}

test(`no function has more than ${LONGEST_FUNCTION} lines, those of its SQL left out`, () => {
  const long: string[] = [];
  for (const file of files) {
    const linesOf = (node: ts.Node): number => {
      const line = (position: number) => file.getLineAndCharacterOfPosition(position).line;
      return line(node.end) - line(node.getStart(file)) + 1;
    };
    const sqlOf = (node: ts.Node): number => {
      if (ts.isTemplateLiteral(node)) return linesOf(node);
      let lines = 0;
      node.forEachChild((child) => void (lines += sqlOf(child)));
      return lines;
    };
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && "body" in node && node.body) {
        const lines = linesOf(node.body as ts.Node) - sqlOf(node.body as ts.Node);
        if (lines > LONGEST_FUNCTION) {
          const name = node.name?.getText(file) ?? "a function";
          long.push(`${nameOf(file.fileName)}: ${name} has ${lines}`);
        }
      }
      node.forEachChild(visit);
    };
    visit(file);
  }
  expect(long).toEqual([]);
});

test.each(Object.values(denoJson.exports))("what %s exports is documented", (entry) => {
  const deno = pathOf("test/node_modules/.bin/deno");
  const { stderr } = spawnSync(deno, ["doc", "--lint", entry], {
    cwd: pathOf("."),
    env: { ...process.env, NO_COLOR: "1" },
    encoding: "utf8",
  });
  const errors = [...stderr.matchAll(/^error(?!: Found ).*/gm)].map(([line]) => line);
  // Those of the optional peer @opentelemetry/api, which documents them.
  const peers = /^error\[private-type-ref\].* private type '(Tracer|Meter)'$/;
  expect(errors.filter((line) => !peers.test(line))).toEqual([]);
});
