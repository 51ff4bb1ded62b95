import { mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Child, startKept } from "./_keeper.ts";
import { removeShared } from "./_ownership.ts";
import { fillHome, readServerLog, type ServerPlace } from "./_server_place.ts";

/**
 * Creates the home of a server, with an empty database cluster.
 *
 * @returns The ended child that did it. `leave()` it to keep the home; `stop()` it to remove what it made.
 */
export async function createHome(place: ServerPlace): Promise<Child> {
  const { dataDir, home, owner } = place;
  if (dataDir === undefined) return await runInitdb(place, home);
  // Made beside its place and then renamed, so that another process sees all of it or nothing.
  const draft = await mkdtemp(`${home}-`);
  try {
    await fillHome(draft, owner, place.newPassword);
    const initdb = await runInitdb(place, draft);
    await rename(draft, home).catch(async (error) => {
      await initdb.leave();
      throw error;
    });
    return initdb;
  } catch (error) {
    if (owner) await removeShared(draft);
    else await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

async function runInitdb(place: ServerPlace, home: string): Promise<Child> {
  const args = [
    "--username=postgres",
    `--pwfile=${join(place.temporary, "password")}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--no-instructions",
    ...place.dataDir === undefined ? ["--no-sync"] : [],
  ];
  const draft = place.dataDir === undefined ? undefined : home;
  const initdb = await startKept(
    join(place.bin, "initdb"),
    args,
    join(home, "data"),
    place,
    draft,
  );
  const status = await initdb.ended;
  if (status === 0) return initdb;
  const log = await readServerLog(home, place.owner);
  await initdb.leave();
  throw new Error(
    `Cannot start the embedded server: initdb ended with status ${status}: ${log.trim()}`,
  );
}
