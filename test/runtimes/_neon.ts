import { neon, neonConfig } from "@neondatabase/serverless";
import type { Environment, Settings } from "./environment.ts";

export function connect({ url, bareUrl, endpoint }: Settings): Environment {
  neonConfig.fetchEndpoint = endpoint!;
  return {
    sql: neon(url),
    bare: neon(bareUrl),
    close: () => Promise.resolve(),
  };
}

/** The gateways are told apart by the host that the driver is to connect to. */
export function connectToGateways({ url, bareUrl }: Settings): Environment {
  neonConfig.fetchEndpoint = (host) => host === "bare.example.com" ? bareUrl : url;
  return {
    sql: neon("postgres://user:password@gateway.example.com/db"),
    bare: neon("postgres://user:password@bare.example.com/db"),
    refusesOtherSql: true,
    close: () => Promise.resolve(),
  };
}
