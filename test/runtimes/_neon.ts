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
