import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { bundle, EVERYDAY, FETCH, partsOf } from "../bench/size.ts";
import { pathOf } from "./_path_of.ts";

/** Decisions are tested where there is no Node, too. */
const TESTING = "src/testing/mod.ts";

describe.each([
  ["mod.ts", "writeBatch", /^(<stdin>|mod\.ts|src\/(?!http|database|operate|testing).+\.ts)$/],
  [TESTING, "testStore", /^(<stdin>|src\/(?!http|database|operate).+\.ts)$/],
  [
    FETCH,
    "fetchSql",
    /^(<stdin>|src\/(errors|(lib|names|handle)\/\w+|http\/.*(fetch_sql|_version))\.ts)$/,
  ],
])("a bundle of everything %s exports", (module, name, files) => {
  test("builds for browsers", async () => {
    const { warnings, text } = await bundle("*", module);
    expect(warnings).toEqual([]);
    expect(text).toContain(name);
  });

  test("holds files of src alone: none of src/database, no package, no built-in module", async () => {
    const { inputs } = (await bundle("*", module)).metafile;
    expect(Object.keys(inputs).filter((path) => !files.test(path))).toEqual([]);
    const imports = Object.values(inputs).flatMap((input) => input.imports);
    expect(imports.filter(({ external }) => external)).toEqual([]);
  });

  test("uses no global of a server runtime", async () => {
    const globals = ["process", "Buffer", "global", "require", "setImmediate", "Deno", "Bun"];
    const names = [...globals, ...globals.map((name) => `globalThis.${name}`)];
    const define = names.map((name) => [name, `FORBIDDEN_${name.replace(".", "_")}`]);
    const { text } = await bundle("*", module, Object.fromEntries(define));
    expect(text.match(/FORBIDDEN_\w+/g) ?? []).toEqual([]);
  });
});

test.each([
  ["*", "mod.ts", 63_000],
  [EVERYDAY, "mod.ts", 8_980],
  ["{ write }", "mod.ts", 4_680],
  ["*", FETCH, 2_200],
])("a bundle of %s from %s is smaller than %d bytes, minified and gzipped", async (...bundled) => {
  const [names, module, limit] = bundled;
  expect((await bundle(names, module)).gzipped).toBeLessThan(limit);
});

test("the parts of the core are all of it, and a function has what it alone needs", async () => {
  const core = await bundle("*");
  const parts = partsOf(core, 0);
  const sum = (size: (part: typeof parts[number]) => number) =>
    parts.reduce((sum, part) => sum + size(part), 0);
  expect(sum(({ minified }) => minified)).toBe(core.minified);
  expect(sum(({ gzipped }) => gzipped)).toBeCloseTo(core.gzipped);
  const alone = parts.find(({ what }) => what === "`groupCommit`")!;
  expect(core.text.length - (await withoutGroupCommit()).length).toBeCloseTo(alone.minified, -3);
});

/** The core without `groupCommit`. */
async function withoutGroupCommit(): Promise<string> {
  const mod = await readFile(pathOf("mod.ts"), "utf8");
  const names = [...mod.matchAll(/^export \{([^}]*)\}/gm)].flatMap(([, list]) => list!.split(","))
    .map((name) => name.trim()).filter((name) => name && !/^type |^groupCommit$/.test(name));
  return (await bundle(`{ ${names.join(", ")} }`)).text;
}

test.each(["mod.ts", FETCH, TESTING])(
  "to import %s opens nothing, starts no timer and ends",
  async (module) => {
    const { text } = await bundle("*", module);
    expect(await openedBy(text)).toEqual([]);
    expect(await openedBy(`${text};setTimeout(() => {}, 1).unref();`)).toEqual(["Timeout"]);
  },
);

/** What a module opens when Node imports it, in a process that ends when nothing is left to do. */
async function openedBy(module: string): Promise<string[]> {
  const url = `data:text/javascript,${encodeURIComponent(module)}`;
  const program = `
    import { createHook } from "node:async_hooks";

    await import("data:text/javascript,");
    const opened = [];
    const hook = createHook({ init: (_, type) => type === "PROMISE" || opened.push(type) });
    hook.enable();
    await import(${JSON.stringify(url)});
    hook.disable();
    console.log(JSON.stringify(opened));`;
  // Too long for an argument.
  const running = promisify(execFile)(process.execPath, ["--input-type=module"]);
  running.child.stdin!.end(program);
  return JSON.parse((await running).stdout);
}

test("a bundle of one operation leaves the other operations out", async () => {
  const [output] = Object.values((await bundle("{ write }")).metafile.outputs);
  const used = Object.entries(output!.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path);
  expect(used).toContain("src/write/write.ts");
  const others =
    /^src\/(read|subscribe|consume|decide|operate|http|database|testing|write\/(?!(write|_write_new|_write_once)\.ts))/;
  expect(used.filter((path) => others.test(path))).toEqual([]);
});
