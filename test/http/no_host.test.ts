import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { pathOf } from "../_path_of.ts";

test("a request without a host is answered on Bun: by a gateway, by a traced one, and by a studio", async () => {
  const bun = pathOf("test/node_modules/.bin/bun");
  const program = pathOf("test/http/_no_host_program.ts");
  const { stdout } = await promisify(execFile)(bun, [program]);
  expect(stdout).toBe("200 200 200\n");
});
