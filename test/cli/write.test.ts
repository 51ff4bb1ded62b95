import { readStream } from "@messagedb/client";
import { expect, test } from "vitest";
import { useDatabase } from "../database.ts";
import { useMessagedb } from "./_messagedb.ts";

const db = useDatabase();
const messagedb = useMessagedb(db);

test("write prints the position of the message", async () => {
  expect(await messagedb.print("write", "account-1", "Opened")).toBe("0\n");
  expect(await messagedb.print("write", "account-1", "Deposited", '{"amount":11}')).toBe("1\n");
  expect(await messagedb.json("write", "account-1", "Closed")).toEqual([{ position: 2 }]);
  const messages = await readStream(db.sql, "account-1");
  expect(messages.map(({ type, data }) => [type, data]))
    .toEqual([["Opened", null], ["Deposited", { amount: 11 }], ["Closed", null]]);
});

test("write takes data from standard input", async () => {
  const { exitCode } = await messagedb.run(["write", "account-2", "Deposited", "-"], {
    stdin: '{"amount":12}',
  });
  expect(exitCode).toBe(0);
  expect((await readStream(db.sql, "account-2"))[0]!.data).toEqual({ amount: 12 });
});

test("write refuses a wrong expected version with a sentence and exit code 1", async () => {
  expect(await messagedb.run(["write", "account-3", "Opened", "--expected-version", "4"])).toEqual({
    stdout: "",
    stderr:
      'error: Cannot write to stream "account-3" at expected version 4: the stream has no message\n',
    exitCode: 1,
  });
});
