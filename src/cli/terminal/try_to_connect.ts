import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { connect, isIP } from "node:net";

/** What came of an attempt to connect, as `diagnose` tells what it finds. */
export interface Attempt {
  readonly name: "host" | "port";
  readonly state: "ok" | "error";
  readonly text: string;
  readonly advice: string | null;
}

const TIMEOUT = 5000;

/** Looks up the host of a PostgreSQL, and tries its port at each of its addresses. */
export async function tryToConnect({ hostname, port: given }: URL): Promise<Attempt[]> {
  const name = hostname.replace(/^\[|\]$/g, "") || "localhost";
  const port = Number(given || 5432);
  const addresses = await lookup(name, { all: true }).catch(() => []);
  if (addresses.length === 0) {
    const advice = "Look at the name in --url or DATABASE_URL, and at the DNS of this machine";
    return [{ name: "host", state: "error", text: `No address is known for "${name}"`, advice }];
  }
  const texts = addresses.map(({ address }) => address);
  const ports = await Promise.all(texts.map((address) => tryPort(address, port)));
  if (isIP(name)) return ports;
  const text = `${name} is ${texts.join(" and ")}`;
  return [{ name: "host", state: "ok", text, advice: null }, ...ports];
}

async function tryPort(host: string, port: number): Promise<Attempt> {
  const where = `Port ${port} of ${host}`;
  const socket = connect({ host, port });
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(TIMEOUT) });
    return { name: "port", state: "ok", text: `${where} answers`, advice: null };
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    if (code === "ECONNREFUSED") {
      const advice = "Start the server there, or give another port";
      return { name: "port", state: "error", text: `${where}: nothing listens`, advice };
    }
    const reason = name === "AbortError" ? `no answer in ${TIMEOUT / 1000} s` : code;
    const advice = "Look at firewalls, at listen_addresses of the server, and at the port";
    return { name: "port", state: "error", text: `${where}: ${reason}`, advice };
  } finally {
    socket.destroy();
  }
}
