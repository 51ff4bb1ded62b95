import { invalid } from "../lib/invalid.ts";
import { checkFunction, checkMembers, checkName, checkObject } from "../names/_check.ts";
import { isSchema } from "./_shape.ts";
import type { DetailedDefinition, MessageDefinition, Upcast } from "./definition.ts";
import type { StandardSchema } from "./schema.ts";

/**
 * The argument of `defineMessages`: a definition for each message type.
 *
 * @internal
 */
export type Definitions = Readonly<Record<string, MessageDefinition>>;

/** The definition of one message type, checked and with its defaults. */
export interface CheckedDefinition {
  readonly type: string;
  readonly schema: StandardSchema;
  readonly encode: ((data: never) => unknown) | undefined;
  readonly upcasts: readonly Upcast[];
  /** The type itself and its aliases. */
  readonly storedTypes: readonly string[];
}

/** The definitions of a catalogue, checked. */
export interface DefinitionTable {
  readonly byType: ReadonlyMap<string, CheckedDefinition>;
  /** The same definitions, by each of their stored types. */
  readonly byStoredType: ReadonlyMap<string, CheckedDefinition>;
}

/** Checks all definitions: no type and no alias may be there twice. */
export function checkDefinitions(definitions: Definitions): DefinitionTable {
  checkObject("definitions", definitions, "an object with a schema for each type");
  const byType = new Map<string, CheckedDefinition>();
  const byStoredType = new Map<string, CheckedDefinition>();
  for (const [type, definition] of Object.entries(definitions)) {
    const checked = checkDefinition(type, definition);
    // A catalogue with a member `then` looks like a promise.
    if (["then", "parse", "safeParse"].includes(type)) throw hasMeaning(type);
    byType.set(type, checked);
    for (const storedType of checked.storedTypes) {
      checkName("type", storedType);
      if (byStoredType.has(storedType)) {
        throw invalid("type", storedType, "given once, as a type or an alias");
      }
      // The types of an UnknownMessage and a ForgottenMessage.
      if (["$unknown", "$forgotten"].includes(storedType)) throw hasMeaning(storedType);
      byStoredType.set(storedType, checked);
    }
  }
  return { byType, byStoredType };
}

function hasMeaning(type: string): Error {
  return invalid("type", type, "another name, since this one has a meaning already");
}

function checkDefinition(type: string, definition: MessageDefinition): CheckedDefinition {
  const detailed = isSchema(definition) ? { schema: definition } : definition as DetailedDefinition;
  const rule = "a schema (of zod, valibot, arktype, …) or an object with one";
  checkMembers(
    type,
    detailed,
    { schema: true, encode: true, aliases: true, upcasts: true },
    rule,
  );
  const { schema, encode, aliases = [], upcasts = [] } = detailed;
  if (!isSchema(schema)) throw invalid(type, definition, rule);
  if (encode !== undefined) checkFunction(`${type}.encode`, encode);
  if (!Array.isArray(aliases)) throw invalid(`${type}.aliases`, aliases, "an array of types");
  if (!Array.isArray(upcasts)) throw invalid(`${type}.upcasts`, upcasts, "an array of functions");
  for (const upcast of upcasts as readonly Upcast[]) {
    if (typeof upcast === "function") continue;
    checkFunction(`${type}.upcasts.when`, upcast?.when);
    checkFunction(`${type}.upcasts.lift`, upcast?.lift);
  }
  return { type, schema, encode, upcasts, storedTypes: [type, ...aliases] };
}
