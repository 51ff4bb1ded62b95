import type { Sql } from "@messagedb/client";
import { gateway, type GatewayOptions } from "@messagedb/client/gateway";

/** A gateway that lets everyone do all that the suite does. */
export function openGateway(
  sql: Sql,
  options: Pick<GatewayOptions, "cors"> = {},
): (request: Request) => Promise<Response> {
  return gateway(sql, {
    authorize: () => true,
    allowConditions: true,
    maxBodyBytes: 4 * 1024 * 1024,
    ...options,
  });
}
