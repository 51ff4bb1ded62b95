import { invalid } from "../lib/invalid.ts";
import { isSchema } from "../messages/_shape.ts";
import { parserOf } from "../messages/_typed.ts";
import {
  checkCategory,
  checkFunction,
  checkInteger,
  checkName,
  checkObject,
} from "../names/_check.ts";
import type { Message, MessageInput } from "../types.ts";
import { type Fold, foldOf } from "./_fold.ts";
import { checkRestorable, type Snapshots } from "./_snapshot.ts";
import type { EntityCache, EntityDefinition, SnapshotOptions } from "./entity_definition.ts";

/** A definition, checked, with its defaults. */
export interface CheckedEntity {
  readonly category: string;
  readonly init: () => unknown;
  readonly fold: Fold;
  readonly snapshots: Snapshots | undefined;
  readonly cache: EntityCache | undefined;
  readonly batchSize: number;
}

export function checkEntity<State, Output extends Message, Input extends MessageInput>(
  definition: EntityDefinition<State, Output, Input>,
): CheckedEntity {
  checkObject("definition", definition, "an object with a category");
  const fold = foldOf(definition);
  const { category, init, snapshot, cache, batchSize = 1000 } = definition;
  checkInteger("batchSize", batchSize, 1);
  checkCategory("category", category);
  const snapshots = snapshot === undefined ? undefined : checkSnapshot(definition, snapshot);
  if (cache !== undefined) {
    checkFunction("cache.get", cache?.get);
    checkFunction("cache.set", cache?.set);
  }
  return { category, init, fold, snapshots, cache, batchSize };
}

function checkSnapshot(
  definition: Pick<EntityDefinition<unknown>, "category" | "init" | "messages">,
  snapshot: SnapshotOptions<unknown>,
): Snapshots {
  const { every, version = 1, schema } = snapshot ?? {};
  checkInteger("snapshot.every", every, 1);
  if (typeof version === "number") checkInteger("snapshot.version", version, 0);
  else checkName("snapshot.version", version);
  if (schema === undefined) checkRestorable(definition.init());
  else if (!isSchema(schema)) {
    throw invalid("snapshot.schema", schema, "a schema, of zod for instance");
  }
  const { category } = definition;
  return { category, every, version, schema, codec: parserOf(definition)?.codec };
}
