/** `npm run page`: builds the page of the studio into a module, so that a server has it without files. */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";
import { licensesOf } from "./licenses.config.ts";

const TYPES: Readonly<Record<string, string>> = {
  js: "text/javascript",
  css: "text/css",
  svg: "image/svg+xml",
  txt: "text/plain",
};

interface Asset {
  readonly type: string;
  readonly text: string;
}

const { outputFiles, metafile } = await build({
  entryPoints: { studio: "src/studio/page/main.tsx" },
  outdir: "assets",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
});

const assets = new Map<string, Asset>();
for (const { path, text } of outputFiles) {
  const name = path.slice(path.lastIndexOf("/") + 1);
  assets.set(name, { type: typeOf(name), text });
}
const icon = addHashed("icon", "svg", readFileSync("docs/public/favicon.svg", "utf8"));
const licenses = addHashed("licenses", "txt", licensesOf(Object.keys(metafile.inputs)));
const page = {
  script: nameOf("js"),
  imported: importedName(),
  style: nameOf("css"),
  icon,
  licenses,
};

writeFileSync(
  "src/studio/_assets.ts",
  [
    '// Made by "npm run page" of src/studio/page.',
    "/** What the page consists of, by the names that it has under assets/. */",
    "export const ASSETS: Readonly<Record<string, { readonly type: string; readonly text: string }>> =",
    `  ${asJson(Object.fromEntries([...assets].sort(([a], [b]) => a < b ? -1 : 1)))};`,
    "/** The assets that the first page names. */",
    "export const PAGE: {",
    ...Object.keys(page).map((name) => `  readonly ${name}: string;`),
    `} = ${asJson(page)};`,
    "",
  ].join("\n"),
);

function nameOf(ending: string): string {
  const isWanted = new RegExp(`^studio-[^.]+\\.${ending}$`);
  return [...assets.keys()].find((name) => isWanted.test(name))!;
}

/** The script that the first one imports at once: what it shares with those that are loaded later. */
function importedName(): string {
  const { imports } = metafile.outputs[`assets/${nameOf("js")}`]!;
  const [only, ...others] = imports.filter(({ kind }) => kind === "import-statement");
  if (only === undefined || others.length > 0) throw new Error("The page has other scripts");
  return only.path.slice("assets/".length);
}

function addHashed(name: string, ending: string, text: string): string {
  const hash = createHash("sha256").update(text).digest("hex").slice(0, 8).toUpperCase();
  const full = `${name}-${hash}.${ending}`;
  assets.set(full, { type: typeOf(full), text });
  return full;
}

function typeOf(name: string): string {
  return TYPES[name.slice(name.lastIndexOf(".") + 1)]!;
}

/** JSON that is the same as an expression of JavaScript, also with line separators in its texts. */
function asJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[\u2028\u2029]/g,
    (it) => it === "\u2028" ? "\\u2028" : "\\u2029",
  );
}
