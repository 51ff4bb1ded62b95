import { randomBytes } from "node:crypto";
import process from "node:process";
import postgres from "postgres";
import { DIGEST } from "../database/_release.ts";
import { joinSharedServer, type SharedServer } from "../database/_shared_server.ts";
import { install } from "../database/install.ts";
import { VERSION } from "../http/gateway/_version.ts";

/** A database for one test, and a handle to it. */
export interface TestDatabase {
  readonly sql: postgres.Sql;
  readonly url: string;
  end(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a caller asks for. */
export interface TestDatabaseRequest {
  readonly url?: string | undefined;
  readonly role?: string | undefined;
  readonly prepare?: ((sql: postgres.Sql) => PromiseLike<unknown>) | undefined;
}

/** What decides how Message DB is installed: another version has a template of its own. */
const INSTALLATION = `${VERSION} ${DIGEST}`;

/** Seconds after which a database that nobody is connected to belongs to a test that was killed. */
const LEFTOVER_AGE = 3600;

/** Creates a database from the template of a server, which is made first if there is none. */
export async function openTestDatabase(request: TestDatabaseRequest): Promise<TestDatabase> {
  const given = request.url ?? process.env["MESSAGEDB_TEST_URL"];
  const server = given === undefined ? await joinSharedServer() : { url: given, leave() {} };
  try {
    const name = await createDatabaseOn(server.url).catch((error) => {
      if (given === undefined) throw error;
      const source = request.url === undefined ? "MESSAGEDB_TEST_URL" : "url";
      throw new Error(`Cannot create a database on the server of "${source}": ${error.message}`, {
        cause: error,
      });
    });
    return await openDatabase(server, name, request);
  } catch (error) {
    await server.leave();
    throw error;
  }
}

async function openDatabase(
  server: SharedServer,
  name: string,
  { role, prepare }: TestDatabaseRequest,
): Promise<TestDatabase> {
  const url = databaseAt(server.url, name);
  const drop = (): Promise<unknown> =>
    withHandle(server.url, (admin) => admin`drop database ${admin(name)} with (force)`);
  if (prepare !== undefined) {
    await withHandle(url, prepare).catch(async (error) => {
      await drop().catch(() => {});
      throw error;
    });
  }
  const sql = postgres(url, {
    onnotice: () => {},
    // A test that does not end its store ends all the same.
    idle_timeout: 1,
    ...role === undefined ? {} : { connection: { role } },
  });
  const close = async (): Promise<void> => {
    try {
      // What has no answer by then is a consumer that goes on.
      await sql.end({ timeout: 1 });
      await drop();
    } finally {
      await server.leave();
    }
  };
  let closed: Promise<void> | undefined;
  const end = (): Promise<void> => closed ??= close();
  return { sql, url, end, [Symbol.asyncDispose]: end };
}

/** Creates a database from the template, and resolves to its name. */
async function createDatabaseOn(server: string): Promise<string> {
  return await withHandle(server, async (admin) => {
    const [found] = await admin<[FoundServer]>`
      select
        floor(extract(epoch from now()))::text as now,
        template,
        exists (select from pg_database where datname = template) as "isMade",
        (
          select coalesce(json_agg(datname), '[]')
          from pg_database as database
          where substring(datname from '^messagedb_test_(\\d{10})_[0-9a-f]{12}$')::bigint
              < extract(epoch from now()) - ${LEFTOVER_AGE}::text::bigint
            and not exists (select from pg_stat_activity where datid = database.oid)
        ) as leftovers
      from concat('messagedb_test_template_', left(md5(${INSTALLATION} || current_user), 12)) as template`;
    for (const name of found.leftovers) {
      // Another process may be faster, or the database be another role's.
      await admin`drop database ${admin(name)}`.catch(() => {});
    }
    const nextName = (): string => `messagedb_test_${found.now}_${randomBytes(6).toString("hex")}`;
    if (!found.isMade) await makeTemplate(admin, server, found.template, nextName());
    const name = nextName();
    await admin`create database ${admin(name)} template ${admin(found.template)}`;
    return name;
  });
}

/** What a server has. */
interface FoundServer {
  /** In seconds since 1970. */
  readonly now: string;
  /** The database that others are copied from: each role has its own, because what is in it is the role's. */
  readonly template: string;
  readonly isMade: boolean;
  /** Databases of tests that were killed. */
  readonly leftovers: readonly string[];
}

/** Makes the template under another name first: what has its name is complete. */
async function makeTemplate(
  admin: postgres.Sql,
  server: string,
  template: string,
  draft: string,
): Promise<void> {
  // A lock of the session, because no database is created in a transaction.
  await admin`select pg_advisory_lock(hashtext(${template}))`;
  const made = await admin`select from pg_database where datname = ${template}`;
  if (made.length === 0) {
    await admin`create database ${admin(draft)} template template0`;
    await withHandle(databaseAt(server, draft), install);
    // Nobody may be connected to a database that is copied.
    await admin`alter database ${admin(draft)} allow_connections false`;
    await admin`alter database ${admin(draft)} rename to ${admin(template)}`;
  }
  await admin`select pg_advisory_unlock(hashtext(${template}))`;
}

/** Does work with a handle of its own. */
async function withHandle<T>(url: string, work: (sql: postgres.Sql) => PromiseLike<T>): Promise<T> {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    return await work(sql);
  } finally {
    await sql.end();
  }
}

function databaseAt(server: string, database: string): string {
  return Object.assign(new URL(server), { pathname: `/${database}` }).href;
}
