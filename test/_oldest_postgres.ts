import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { startKept } from "../src/database/_keeper.ts";
import { openPlace, removeTemporary } from "../src/database/_server_place.ts";
import { startServer } from "../src/database/_start_server.ts";

const native = fileURLToPath(new URL("node_modules/postgres-oldest/native", import.meta.url));

/** Whether the binaries of the oldest PostgreSQL are here: npm has them for one platform. */
export const hasOldest: boolean = existsSync(native);

/** Starts a server of the oldest PostgreSQL that the README names. */
export async function startOldest(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const place = await openPlace(native, undefined);
  try {
    // Without `--no-instructions`, which it does not know yet.
    const args = ["--username=postgres", `--pwfile=${join(place.temporary, "password")}`];
    const more = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"];
    const data = join(place.home, "data");
    const initdb = await startKept(join(place.bin, "initdb"), [...args, ...more], data, place);
    if (await initdb.ended !== 0) throw new Error("Cannot start PostgreSQL 12: initdb failed");
    const { server, port } = await startServer(place, undefined, startKept);
    await initdb.leave();
    return {
      url: `postgres://postgres:${place.newPassword}@127.0.0.1:${port}/postgres`,
      stop: async () => {
        await server.stop();
        await removeTemporary(place);
      },
    };
  } catch (error) {
    await removeTemporary(place);
    throw error;
  }
}
