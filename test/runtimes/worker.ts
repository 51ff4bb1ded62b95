import * as fetchSql from "./_fetch_sql.ts";
import * as neon from "./_neon.ts";
import * as postgresJs from "./_postgres_js.ts";
import type { Settings } from "./environment.ts";
import { run } from "./suite.ts";

/** What one request asks for. */
export interface WorkerRequest {
  readonly name: string;
  readonly settings: Settings;
}

const drivers = { "postgres.js": postgresJs, "neon()": neon, fetchSql };

/** One behaviour a request: what one request of a Worker opened, the next may not use. */
export default {
  async fetch(request: Request): Promise<Response> {
    const { name, settings }: WorkerRequest = await request.json();
    const environment = drivers[settings.driver as keyof typeof drivers].connect(settings);
    const outcome = await run(name, environment);
    await environment.close();
    return Response.json(outcome);
  },
};
