import { readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type EmbeddedServer, startEmbedded } from "../../src/database/embedded.ts";
import { sleep } from "./_program.ts";

/** A server that can be taken down in several ways, and comes up again with the same data. */
export interface FragileServer {
  readonly url: string;
  /** A restart as an administrator does it, "fast": transactions are rolled back. */
  restart(): Promise<void>;
  /** An end without a checkpoint: by SIGQUIT, "immediate"; by SIGKILL, as a machine's failure. */
  crash(signal: "SIGQUIT" | "SIGKILL"): Promise<void>;
  stop(): Promise<void>;
}

export async function startFragile(dataDir: string, port: number): Promise<FragileServer> {
  let server: EmbeddedServer | undefined = await startEmbedded({ dataDir, port });
  const { url } = server;

  async function stop(): Promise<void> {
    await server?.stop();
    server = undefined;
  }
  async function restart(): Promise<void> {
    await stop();
    while (server === undefined) {
      server = await startEmbedded({ dataDir, port }).catch(async (error) => {
        // What a killed server has left is still ending.
        if (!/is in use by another|is taken/.test(String(error))) throw error;
        await sleep(50);
        return undefined;
      });
    }
  }
  return {
    url,
    stop,
    restart,
    crash: async (signal) => {
      const lock = join(dataDir, "postgres", "data", "postmaster.pid");
      process.kill(parseInt(readFileSync(lock, "utf8")), signal);
      await restart();
    },
  };
}
