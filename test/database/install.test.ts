import { expect, test } from "vitest";
import { isInstalled } from "../../src/database/install.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

test("isInstalled() is true where Message DB is", async () => {
  expect(await isInstalled(db.sql)).toBe(true);
});
