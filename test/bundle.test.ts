import { builtinModules } from "node:module";
import { describe, expect, test } from "vitest";
import { bundle } from "../bench/size.ts";

const LIMIT = 5_000;

describe("a bundle of everything mod.ts exports", () => {
  test("builds for browsers", async () => {
    const { warnings, text } = await bundle("*");
    expect(warnings).toEqual([]);
    expect(text).toContain("writeBatch");
  });

  test("holds files of src alone: none of src/database, no package, no built-in of Node", async () => {
    const { metafile } = await bundle("*");
    const inputs = Object.keys(metafile.inputs).filter((path) => path !== "<stdin>");
    expect(inputs.filter((path) => !/^(mod|src\/\w+)\.ts$/.test(path))).toEqual([]);
    const imported = Object.values(metafile.inputs).flatMap(({ imports }) => imports);
    expect(imported.filter(({ path }) => /^node:/.test(path) || builtinModules.includes(path)))
      .toEqual([]);
    expect(imported.filter(({ external }) => external)).toEqual([]);
  });

  test("uses no global of a server runtime", async () => {
    const globals = ["process", "Buffer", "global", "require", "setImmediate", "Deno", "Bun"];
    const names = [...globals, ...globals.map((name) => `globalThis.${name}`)];
    const define = names.map((name) => [name, `FORBIDDEN_${name.replace(".", "_")}`]);
    const { text } = await bundle("*", Object.fromEntries(define));
    expect(text.match(/FORBIDDEN_\w+/g) ?? []).toEqual([]);
  });

  test(`is smaller than ${LIMIT} bytes, minified and gzipped`, async () => {
    expect((await bundle("*")).gzipped).toBeLessThan(LIMIT);
  });
});

test("a bundle of one operation leaves the other operations out", async () => {
  const { metafile } = await bundle("{ write }");
  const [output] = Object.values(metafile.outputs);
  const used = Object.entries(output!.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path);
  expect(used).toContain("src/write.ts");
  expect(used.filter((path) => /read|iterate|names|synchronize|write_/.test(path))).toEqual([]);
});
