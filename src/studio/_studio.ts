import { checkConsumer } from "../consume/_checked_consumer.ts";
import type { Consumer } from "../consume/consumer.ts";
import { type CheckedEntity, checkEntity, DEFINITION } from "../decide/_checked_entity.ts";
import type { EntityDefinition } from "../decide/entity_definition.ts";
import { partitions } from "../handle/partitioned.ts";
import { ownOf } from "../handle/_statement.ts";
import { logError, neverThrowing } from "../http/gateway/_error_listener.ts";
import { isPlainPath } from "../http/gateway/_plain_path.ts";
import { invalid } from "../lib/invalid.ts";
import { checkInteger, checkObject, checkOptions, checkSignal } from "../names/_check.ts";
import type { Sql } from "../types.ts";
import type { StudioConsumer } from "./_api.ts";
import { type AskPartitions, askPartitions } from "./_ask_partitions.ts";
import { checkGiven } from "./_refusals.ts";
import { type SharedReads, shareReads } from "./_shared_reads.ts";
import type { StudioOptions } from "./options.ts";

/** What the operations of a studio share: its handle and its options, checked and with their defaults. */
export interface Studio extends SharedReads {
  readonly sql: Sql;
  readonly authorize: StudioOptions["authorize"];
  /** Without a "/" at the end: "" is the root. */
  readonly base: string;
  readonly readOnly: boolean;
  readonly entities: ReadonlyMap<string, CheckedEntity>;
  readonly consumers: readonly Consumer[];
  readonly schema: string;
  /** How many partitions the store has; 1 for a plain store. */
  readonly partitions: number;
  readonly stores: readonly Sql[];
  readonly ask: AskPartitions;
  readonly signal: AbortSignal | undefined;
  /** Never throws. */
  readonly onError: (error: unknown, request: Request) => void;
}

export function makeStudio(sql: Sql, options: StudioOptions): Studio {
  if (typeof sql !== "function") throw invalid("sql", sql, "a handle, as postgres() makes");
  checkOptions(options, {
    authorize: true,
    basePath: true,
    readOnly: true,
    entities: true,
    consumers: true,
    signal: true,
    onError: true,
  });
  const { authorize, basePath = "/", readOnly = true, entities = [], consumers = [] } = options;
  const { signal, onError = logError } = options;
  if (typeof authorize !== "function") {
    throw invalid("authorize", authorize, "a function that decides who may do what");
  }
  if (typeof basePath !== "string" || !isBasePath(basePath)) {
    throw invalid("basePath", basePath, 'a path that begins with "/": /studio');
  }
  if (typeof readOnly !== "boolean") throw invalid("readOnly", readOnly, "true or false");
  if (!Array.isArray(consumers)) throw invalid("consumers", consumers, "an array of consumers");
  const stores = partitions(sql);
  for (const it of consumers) checkConsumer(it.category === "$all" ? stores[0]! : sql, it);
  checkSignal(signal);
  if (typeof onError !== "function") throw invalid("onError", onError, "a function");
  const tell = neverThrowing(onError);
  return {
    sql,
    authorize,
    base: basePath.replace(/\/$/, ""),
    readOnly,
    entities: checkEntities(entities),
    consumers,
    schema: ownOf(stores[0]!)?.schema ?? "message_store",
    partitions: stores.length,
    stores,
    ask: askPartitions(stores, tell),
    signal,
    onError: tell,
    ...shareReads(),
  };
}

function isBasePath(path: string): boolean {
  return path.startsWith("/") && !path.endsWith("//") && isPlainPath(path);
}

function checkEntities(entities: StudioOptions["entities"]): Map<string, CheckedEntity> {
  if (!Array.isArray(entities)) throw invalid("entities", entities, "an array of entities");
  const byCategory = new Map<string, CheckedEntity>();
  for (const it of entities) {
    checkObject("entities", it, "an array of entities, or of their definitions");
    const checked: CheckedEntity = DEFINITION in it
      ? it[DEFINITION] as CheckedEntity
      : checkEntity(it as EntityDefinition<unknown>);
    if (byCategory.has(checked.category)) {
      throw new TypeError(
        `Cannot use two entities of category "${checked.category}" in "entities": give one`,
      );
    }
    byCategory.set(checked.category, checked);
  }
  return byCategory;
}

/** The handle for what is of a partition, or of the whole store if no partition is given. */
export function storeIn({ sql, stores }: Studio, partition: number | undefined): Sql {
  if (partition === undefined) return sql;
  checkGiven(() => checkInteger("partition", partition, 0, stores.length - 1));
  return stores[partition]!;
}

/** The names of a consumer alone. */
export function namesOf(consumer: Consumer): StudioConsumer {
  const { category, aggregate, consumerId } = consumer;
  return {
    ...category !== undefined && { category },
    ...aggregate !== undefined && { aggregate },
    consumerId,
  };
}
