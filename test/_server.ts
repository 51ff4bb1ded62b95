import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { get, type RequestOptions } from "node:http";
import { join } from "node:path";
import process from "node:process";
import postgres from "postgres";
import { startEmbedded } from "../src/database/embedded.ts";
import { install } from "../src/database/install.ts";

/** How many test files run at once. */
export const FILES_AT_ONCE = 4;

/**
 * How many connections a test file may have open at once. The most that one needs is 60: fifty that
 * decide at once, and the ten that its tests share.
 */
export const CONNECTIONS_OF_A_FILE = 60;

/** What the files need at once, and those that create and drop databases. */
const CONNECTIONS = FILES_AT_ONCE * CONNECTIONS_OF_A_FILE + 20;

/** A PostgreSQL server for tests, and a database in it that others are copied from. */
export interface TestServer {
  /** The database that others are created from, and where: plain text, for another process. */
  readonly origin: Origin;
  /** Where the server came from, for people. */
  readonly source: string;
  /** Creates an empty database with Message DB in it. */
  createDatabase(): Promise<TestDatabase>;
  stop(): Promise<void>;
}

/** What another process needs to create databases. */
export interface Origin {
  readonly url: string;
  readonly template: string;
}

export interface TestDatabase {
  /** For a superuser (or the user of `DATABASE_URL`). */
  readonly url: string;
  drop(): Promise<void>;
}

/**
 * Finds or starts a server: the one at `DATABASE_URL`, else a container where a Docker daemon answers,
 * else the embedded server.
 */
export async function startTestServer(): Promise<TestServer> {
  const { url, source, stop } = await findServer();
  const template = uniqueName("template");
  try {
    const sql = connect(urlOf(url, template));
    await install(sql, { createDatabase: true }).finally(() => sql.end());
  } catch (error) {
    await stop();
    throw error;
  }
  const origin = { url, template };
  return {
    origin,
    source,
    createDatabase: () => createDatabase(origin),
    stop: async () => {
      await runAt(url, `drop database "${template}" with (force)`).finally(
        stop,
      );
    },
  };
}

/** Creates an empty database with Message DB in it. */
export async function createDatabase(
  { url, template }: Origin,
): Promise<TestDatabase> {
  const name = uniqueName("test");
  await runAt(url, `create database "${name}" template "${template}"`);
  return {
    url: urlOf(url, name),
    drop: () => dropDatabase(url, name),
  };
}

/** Drops a database once nobody is connected to it: a test that leaves a connection open fails here. */
async function dropDatabase(url: string, name: string): Promise<void> {
  // PostgreSQL waits five seconds for connections that are being closed.
  for (let attempt = 1;; attempt++) {
    try {
      return await runAt(url, `drop database "${name}"`);
    } catch (error) {
      const isInUse = (error as { code?: unknown }).code === "55006";
      if (!isInUse || attempt === 12) throw error;
    }
  }
}

interface FoundServer {
  readonly url: string;
  readonly source: string;
  stop(): Promise<void>;
}

async function findServer(): Promise<FoundServer> {
  const url = process.env["DATABASE_URL"];
  if (url) {
    await checkConnections(url).catch((cause) => {
      throw new Error("Cannot use the database server of DATABASE_URL", {
        cause,
      });
    });
    return { url, source: "DATABASE_URL", stop: () => Promise.resolve() };
  }
  if (await isDockerRunning()) {
    const { GenericContainer, Wait } = await import("testcontainers");
    const container = await new GenericContainer("postgres:18-alpine")
      .withEnvironment({ POSTGRES_PASSWORD: "postgres" })
      .withCommand(["postgres", "-c", "fsync=off", "-c", `max_connections=${CONNECTIONS}`])
      .withExposedPorts(5432)
      // The first start is for the image's own set-up.
      .withWaitStrategy(
        Wait.forLogMessage("database system is ready to accept connections", 2),
      )
      .start();
    return {
      url: `postgres://postgres:postgres@${container.getHost()}:${
        container.getMappedPort(5432)
      }/postgres`,
      source: "a container of postgres:18-alpine",
      stop: async () => void await container.stop(),
    };
  }
  const { url: embedded, stop } = await startEmbedded();
  await checkConnections(embedded);
  return { url: embedded, source: "the embedded server", stop };
}

/** Rejects where the server allows fewer connections than the tests need at once. */
async function checkConnections(url: string): Promise<void> {
  const sql = connect(url);
  const [row] = await sql<{ allowed: number }[]>`
    select current_setting('max_connections')::int as allowed
  `.finally(() => sql.end());
  if (row!.allowed < CONNECTIONS) {
    throw new Error(
      `Cannot run the tests: the server allows ${row!.allowed} connections, and they need ` +
        `${CONNECTIONS} at once: set its max_connections`,
    );
  }
}

/** A daemon that answers, that is: the command `docker` is there without one, too. */
async function isDockerRunning(): Promise<boolean> {
  const host = process.env["DOCKER_HOST"];
  const sockets = host?.startsWith("unix://") ? [host.slice("unix://".length)] : [
    "/var/run/docker.sock",
    join(process.env["XDG_RUNTIME_DIR"] ?? "/run", "docker.sock"),
    join(process.env["HOME"] ?? "/root", ".docker/run/docker.sock"),
  ].filter((path) => existsSync(path));
  const daemons: RequestOptions[] = host?.startsWith("tcp://")
    ? [{ host: new URL(host).hostname, port: new URL(host).port || 2375 }]
    : sockets.map((socketPath) => ({ socketPath }));
  const answers = daemons.map((daemon) =>
    new Promise<boolean>((resolve) => {
      const request = get(
        { ...daemon, path: "/_ping", timeout: 2_000 },
        (response) => {
          response.resume();
          resolve(response.statusCode === 200);
        },
      );
      request.on("timeout", () => request.destroy());
      request.on("error", () => resolve(false));
    })
  );
  return (await Promise.all(answers)).includes(true);
}

function connect(url: string): postgres.Sql {
  return postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
}

async function runAt(url: string, statement: string): Promise<void> {
  const sql = connect(url);
  await sql.unsafe(statement).finally(() => sql.end());
}

function urlOf(url: string, database: string): string {
  const result = new URL(url);
  result.pathname = `/${database}`;
  return result.href;
}

function uniqueName(kind: string): string {
  return `messagedb_${kind}_${randomBytes(6).toString("hex")}`;
}
