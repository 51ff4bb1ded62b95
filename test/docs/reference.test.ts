/** Holds the pages of docs/reference to the source. */
import * as client from "@messagedb/client";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as install from "../../src/database/install.ts";
import * as operate from "../../src/operate/mod.ts";
import { pathOf } from "../_path_of.ts";
import { pure } from "../_operations.ts";
import { committedPart } from "./_made_part.ts";
import { COMMANDS_PAGE, commandTables } from "./command_table.ts";
import { GATEWAY_PAGE, gatewayTables } from "./gateway_table.ts";

const page = (name: string) => readFileSync(pathOf(`docs/reference/${name}.md`), "utf8");

describe("errors.md", () => {
  const errors = readFileSync(pathOf("src/errors.ts"), "utf8");
  const union = /MessageDbErrorCode =([^;]*);/.exec(errors)![1]!;
  const codes = [...union.matchAll(/"(\w+)"/g)].map(([, code]) => code!);
  const sections = new Map(
    page("errors").split(/^## /m).find((part) => part.startsWith("Codes\n"))!.split(/^### /m).slice(
      1,
    ).map((section) => {
      const end = section.indexOf("\n");
      return [section.slice(0, end), section.slice(end)];
    }),
  );

  test("every code is a heading, and nothing else is", () => {
    expect(codes.length).toBeGreaterThan(5);
    expect([...sections.keys()].sort()).toEqual([...codes].sort());
  });

  test.each(codes)("%s names its class and has an example", (code) => {
    const name = new RegExp(`name = "(\\w+)" as const;[^}]*?code = "${code}"`).exec(errors)![1]!;
    expect(sections.get(code)).toContain(`\`${name}\``);
    expect(sections.get(code)).toMatch(/^```ts$/m);
  });
});

describe("gateway-api.md", () => {
  test("has the endpoints that the gateway describes", async () => {
    expect(committedPart(GATEWAY_PAGE), "renew the page: npx tsx test/docs/gateway_table.ts")
      .toBe(await gatewayTables());
  });
});

describe("command-line.md", () => {
  test("has the commands and options that the program has", () => {
    expect(committedPart(COMMANDS_PAGE), "renew the page: npx tsx test/docs/command_table.ts")
      .toBe(commandTables());
  });
});

describe("statements.md", () => {
  const rows = page("statements").split(/^## Write$/m)[1]!.split("\n")
    .filter((line) => line.startsWith("| `"));
  const named = rows.flatMap((row) => {
    return [...row.split("|")[1]!.matchAll(/`(\w+)`/g)].map(([, name]) => name!);
  });
  const functionsOf = (module: object) =>
    Object.entries(module)
      .filter(([name, value]) => typeof value === "function" && /^[a-z]/.test(name))
      .map(([name]) => name);
  const sending = [client, operate, install].flatMap(functionsOf)
    .filter((name) => !pure.includes(name));

  test("every function that sends a statement has a row", () => {
    expect(sending.filter((name) => !named.includes(name))).toEqual([]);
  });

  test("no row is of another function", () => {
    expect(named.filter((name) => !sending.includes(name))).toEqual([]);
  });
});
