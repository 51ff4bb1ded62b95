import type { Consumer } from "@messagedb/client";
import type { ConsumerIdentity } from "@messagedb/client/operate";
import type postgres from "postgres";
import { badUse } from "./exit_code.ts";
import { loadDefault } from "./load_module.ts";

/** A consumer on the handle of the command line. */
export type PostgresConsumer = Consumer<postgres.Sql>;

/** The consumer of these names, with the handlers that a module exports. */
export async function loadConsumer(
  file: string,
  identity: ConsumerIdentity,
): Promise<PostgresConsumer> {
  const exported = await loadDefault(file);
  const consumer = consumerIn(exported);
  if (consumer === undefined) {
    throw badUse(
      `The default export of "${file}" is no consumer, no handler, and no object of handlers by type`,
    );
  }
  for (const name of ["category", "aggregate", "consumerId"] as const) {
    if (consumer[name] !== undefined && consumer[name] !== identity[name]) {
      throw badUse(
        `The module "${file}" is of another consumer: its ${name} is "${consumer[name]}"`,
      );
    }
  }
  return { ...consumer, ...identity } as PostgresConsumer;
}

function consumerIn(exported: unknown): Partial<PostgresConsumer> | undefined {
  if (typeof exported === "function") return { handle: exported as () => void };
  if (typeof exported !== "object" || exported === null) return undefined;
  if (["handle", "handlers", "handlePage"].some((name) => name in exported)) return exported;
  const handlers = Object.values(exported);
  const isByType = handlers.length > 0 && handlers.every((it) => typeof it === "function");
  return isByType ? { handlers: exported } : undefined;
}
