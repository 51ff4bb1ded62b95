import { invalid } from "../lib/invalid.ts";
import { isSchema } from "../messages/_shape.ts";
import { parserOf } from "../messages/_typed.ts";
import {
  checkCategory,
  checkFunction,
  checkInteger,
  checkMembers,
  checkName,
} from "../names/_check.ts";
import { idFrom } from "../names/id_from.ts";
import type { Message, MessageInput } from "../types.ts";
import { type Fold, foldOf } from "./_fold.ts";
import { checkRestorable, type Snapshots } from "./_snapshot.ts";
import type { EntityCache, EntityDefinition, SnapshotOptions } from "./entity_definition.ts";

/**
 * The key of an entity's definition, checked.
 *
 * @internal
 */
export const DEFINITION: unique symbol = Symbol.for("@messagedb/client/entity");

/**
 * A definition, checked, with its defaults.
 *
 * @internal
 */
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
  checkMembers("definition", definition, {
    init: true,
    evolve: true,
    handlers: true,
    unknown: true,
    messages: true,
    category: true,
    snapshot: true,
    cache: true,
    batchSize: true,
  }, "an object with a category");
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

function checkSnapshot<State, Output extends Message, Input extends MessageInput>(
  definition: EntityDefinition<State, Output, Input>,
  snapshot: SnapshotOptions<unknown>,
): Snapshots {
  checkMembers("snapshot", snapshot, { every: true, version: true, schema: true });
  const { every, version, schema } = snapshot;
  checkInteger("snapshot.every", every, 1);
  if (typeof version === "number") checkInteger("snapshot.version", version, 0);
  else if (version !== undefined) checkName("snapshot.version", version);
  if (schema === undefined) checkRestorable(definition.init());
  else if (!isSchema(schema)) {
    throw invalid("snapshot.schema", schema, "a schema, of zod for instance");
  }
  const { category } = definition;
  let made: Promise<string> | undefined;
  const versionOf = async () => String(version ?? await (made ??= versionOfCode(definition)));
  return { category, every, versionOf, schema, codec: parserOf(definition)?.codec };
}

/** A version that is made of the code of the fold: another fold has another version. */
async function versionOfCode<State, Output extends Message, Input extends MessageInput>(
  { init, evolve, handlers, unknown }: EntityDefinition<State, Output, Input>,
): Promise<string> {
  const code = JSON.stringify(
    [unknown, ...Object.entries({ init, evolve, ...handlers })],
    (_, it) => {
      return typeof it === "function" ? String(it) : it;
    },
  );
  return (await idFrom(code)).slice(0, 13);
}
