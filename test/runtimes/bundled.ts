import { connect } from "./_fetch_sql.ts";
import type { Outcome, Settings } from "./environment.ts";
import * as suite from "./suite.ts";

/** Runs one behaviour where there is nothing but fetch. */
export function run(name: string, settings: Settings): Promise<Outcome> {
  return suite.run(name, connect(settings));
}
