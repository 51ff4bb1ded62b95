import { expect, test } from "vitest";
import { append, write } from "../../mod.ts";
import { gateway } from "../../src/http/gateway.ts";
import { serve } from "../_serve.ts";
import { useDatabase } from "../database.ts";

const db = useDatabase();

/** Reads an event stream until it has a text; answers all of it. */
async function readUntil(
  reader: ReadableStreamDefaultReader<string>,
  wanted: string,
): Promise<string> {
  let text = "";
  while (!text.includes(wanted)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`The stream ended without "${wanted}": ${text}`);
    text += value;
  }
  return text;
}

async function takeBackTo(position: number): Promise<void> {
  await db.sql.begin(async (sql) => {
    await sql`delete from message_store.messages where global_position > ${position}`;
    await sql`select setval('message_store.messages_global_position_seq', ${position})`;
  });
}

test.each(["/messages", "/categories/account/messages", "/streams/account-1/messages"])(
  "a live read of %s tells its client that the store went back, and to begin again",
  async (path) => {
    const errors: unknown[] = [];
    const url = await serve(gateway(db.sql, {
      authorize: () => true,
      onError: (error) => errors.push(error),
    }));
    const open = async (headers: HeadersInit = {}) => {
      const accept = { accept: "text/event-stream", ...headers };
      const response = await fetch(`${url}${path}`, { headers: accept });
      return response.body!.pipeThrough(new TextDecoderStream() as never)
        .getReader() as ReadableStreamDefaultReader<string>;
    };
    const { globalPosition } = await append(db.sql, "account-1", { type: "Kept" });
    const lost = await append(db.sql, "account-1", { type: "Lost" });
    const reader = await open();
    await readUntil(reader, '"Lost"');
    await takeBackTo(globalPosition);
    expect(await readUntil(reader, "STORE_WENT_BACK")).toContain("id\nevent: store-went-back\n");
    await reader.cancel();

    // So is a client that comes back with the id of a message that is gone.
    if (path !== "/streams/account-1/messages") {
      const another = await open({ "last-event-id": String(lost.globalPosition) });
      await readUntil(another, "STORE_WENT_BACK");
      await another.cancel();
    }
    expect(errors).toMatchObject(errors.map(() => ({ code: "STORE_WENT_BACK" })));
    expect(errors.length).toBeGreaterThan(0);
    await write(db.sql, "account-1", { type: "New" });
    const again = await open();
    await readUntil(again, '"New"');
    await again.cancel();
  },
);
