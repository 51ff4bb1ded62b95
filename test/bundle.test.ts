import { describe, expect, test } from "vitest";
import { bundle, EVERYDAY } from "../bench/size.ts";

describe("a bundle of everything mod.ts exports", () => {
  test("builds for browsers", async () => {
    const { warnings, text } = await bundle("*");
    expect(warnings).toEqual([]);
    expect(text).toContain("writeBatch");
  });

  test("holds files of src alone: none of src/database, no package, no built-in module", async () => {
    const { inputs } = (await bundle("*")).metafile;
    expect(Object.keys(inputs).filter((path) => !/^(<stdin>|mod\.ts|src\/\w+\.ts)$/.test(path)))
      .toEqual([]);
    const imports = Object.values(inputs).flatMap((input) => input.imports);
    expect(imports.filter(({ external }) => external)).toEqual([]);
  });

  test("uses no global of a server runtime", async () => {
    const globals = ["process", "Buffer", "global", "require", "setImmediate", "Deno", "Bun"];
    const names = [...globals, ...globals.map((name) => `globalThis.${name}`)];
    const define = names.map((name) => [name, `FORBIDDEN_${name.replace(".", "_")}`]);
    const { text } = await bundle("*", Object.fromEntries(define));
    expect(text.match(/FORBIDDEN_\w+/g) ?? []).toEqual([]);
  });
});

test.each([
  ["*", 8_500],
  [EVERYDAY, 5_400],
  ["{ write }", 3_400],
])("a bundle of %s is smaller than %d bytes, minified and gzipped", async (names, limit) => {
  expect((await bundle(names)).gzipped).toBeLessThan(limit);
});

test("a bundle of one operation leaves the other operations out", async () => {
  const [output] = Object.values((await bundle("{ write }")).metafile.outputs);
  const used = Object.entries(output!.inputs)
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path);
  expect(used).toContain("src/write.ts");
  expect(used.filter((path) => /read|iterate|names|synchronize|write_/.test(path))).toEqual([]);
});
