import { InvalidMessageError, type Issue } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { whenReady } from "../lib/promise.ts";
import { checkFunction, checkOptions } from "../names/_check.ts";
import type { Message, MessageInput } from "../types.ts";
import { cannotWrite } from "./_cannot_write.ts";
import { checkMessage } from "./_check_message.ts";
import {
  checkDefinitions,
  type CheckedDefinition,
  type Definitions,
  type DefinitionTable,
} from "./_definitions.ts";
import { liftToNewest } from "./_lift.ts";
import type { EncodedTyped, Parser } from "./_parser.ts";
import { type Checked, decodeShape, encodeShape } from "./_shape.ts";
import type { Codec } from "./codec.ts";
import type { DefineMessagesOptions } from "./definition.ts";

export function makeParser(definitions: Definitions, options: DefineMessagesOptions): Parser {
  checkOptions(options);
  const { unknown = "refuse", codec } = options;
  if (!["refuse", "skip", "pass"].includes(unknown)) {
    throw invalid("unknown", unknown, '"refuse", "skip" or "pass"');
  }
  if (codec !== undefined) {
    checkFunction("codec.encode", codec.encode);
    checkFunction("codec.decode", codec.decode);
  }
  const { byType, byStoredType } = checkDefinitions(definitions);
  return {
    codec,
    typeOf: (storedType) => byStoredType.get(storedType)?.type,
    storedTypes(types) {
      if (types !== null) return types.flatMap((type) => byType.get(type)?.storedTypes ?? type);
      return unknown === "skip" ? [...byStoredType.keys()] : null;
    },
    encode: (message, streamName) => encodeTyped(message, streamName, byType, codec),
    decode(message) {
      const definition = byStoredType.get(message.type);
      if (definition !== undefined) return decodeTyped(message, definition, codec);
      if (unknown === "skip") return undefined;
      if (unknown === "pass") {
        return { ...message, type: "$unknown", storedType: message.type } as Message;
      }
      const issues = [undefinedType(message.type, byType)];
      throw new InvalidMessageError(message, message.streamName, issues);
    },
  };
}

async function encodeTyped(
  message: MessageInput,
  streamName: string,
  byType: DefinitionTable["byType"],
  codec: Codec | undefined,
): Promise<EncodedTyped> {
  checkMessage(message);
  const { type, data, metadata = null } = message;
  if (typeof metadata !== "object" || Array.isArray(metadata)) {
    throw invalid("metadata", metadata, "an object");
  }
  const definition = byType.get(type);
  if (definition === undefined) {
    throw cannotWrite(message, streamName, [undefinedType(type, byType)]);
  }
  const encoded = await encodeShape(definition, data, "data");
  if (encoded.issues) throw cannotWrite(message, streamName, encoded.issues);
  const { length } = definition.upcasts;
  const stamped = length === 0 ? metadata : { ...metadata, schemaVersion: String(length + 1) };
  const coded = { type, streamName, metadata: stamped, isSnapshot: false };
  const stored = codec ? await codec.encode(encoded.value, coded) : encoded.value;
  return { stored: { ...message, data: stored, metadata: stamped }, read: encoded.read };
}

function decodeTyped(
  message: Message,
  definition: CheckedDefinition,
  codec: Codec | undefined,
): Message | Promise<Message> {
  const { type, streamName, metadata } = message;
  const data = codec
    ? codec.decode(message.data, { type, streamName, metadata, isSnapshot: false })
    : message.data;
  return whenReady(data, (data) => {
    const newest = liftToNewest(definition.upcasts, data, message);
    return whenReady(decodeShape(definition, newest), (decoded: Checked) => {
      if (decoded.issues) throw new InvalidMessageError(message, streamName, decoded.issues);
      return { ...message, type: definition.type, data: decoded.value };
    });
  });
}

function undefinedType(type: string, byType: DefinitionTable["byType"]): Issue {
  const defined = [...byType.keys()].map((type) => `"${type}"`).join(", ");
  return { path: [], message: `the type "${type}" is not defined; those that are: ${defined}` };
}
