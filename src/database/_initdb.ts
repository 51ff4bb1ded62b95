import { randomBytes } from "node:crypto";
import { chown, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Child, startKept } from "./_keeper.ts";
import { readServerLog, type ServerPlace } from "./_server_place.ts";

/**
 * Creates the home of a server, with an empty database cluster and a random password.
 *
 * @returns The ended child that did it. `leave()` it to keep the home; `stop()` it to remove what it made.
 */
export async function createHome(bin: string, place: ServerPlace): Promise<Child> {
  const { dataDir, home } = place;
  // Made beside its place and then renamed, so that another process sees all of it or nothing.
  const draft = dataDir === undefined ? home : await mkdtemp(`${home}-`);
  let initdb: Child | undefined;
  try {
    const data = await writeDraft(draft, place);
    initdb = await startInitdb(bin, place, draft, data);
    const status = await initdb.ended;
    if (status !== 0) {
      const log = await readServerLog(draft, 0);
      throw new Error(
        `Cannot start the embedded server: initdb ended with status ${status}: ${log}`,
      );
    }
    if (draft !== home) await rename(draft, home);
    return initdb;
  } catch (error) {
    await initdb?.leave();
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

/** Creates the password and the folder for the data, for the user that the server runs as. */
async function writeDraft(draft: string, { owner }: ServerPlace): Promise<string> {
  const data = join(draft, "data");
  await mkdir(data, { recursive: true, mode: 0o700 });
  const password = join(draft, "password");
  await writeFile(password, randomBytes(18).toString("base64url"), { mode: 0o600 });
  if (owner) {
    for (const path of [draft, data, password]) await chown(path, owner.uid, owner.gid);
  }
  return data;
}

async function startInitdb(
  bin: string,
  place: ServerPlace,
  draft: string,
  data: string,
): Promise<Child> {
  const args = [
    "--username=postgres",
    "--pwfile=../password",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--no-instructions",
    ...place.dataDir === undefined ? ["--no-sync"] : [],
  ];
  return await startKept(join(bin, "initdb"), args, data, place, [place.temporary, draft]);
}
