import { traced } from "@messagedb/client/otel";
import { startSdk } from "../otel/_sdk.ts";
import type { Environment } from "./environment.ts";

/** Traces all that goes through the handles of an environment, with an SDK that records every span. */
export function traceAll({ sql, bare, begin, ...rest }: Environment): Environment {
  const { tracer, meter } = startSdk();
  const tracedSql = traced(sql, { tracer, meter });
  return {
    ...rest,
    sql: tracedSql,
    bare: traced(bare, { tracer, meter }),
    ...(begin && {
      begin: "begin" in tracedSql
        ? tracedSql.begin as typeof begin
        : (work) => begin((sql) => work(traced(sql, { tracer, meter }))),
    }),
  };
}
