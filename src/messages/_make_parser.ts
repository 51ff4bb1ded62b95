import { InvalidMessageError, type Issue } from "../errors.ts";
import { invalid } from "../lib/invalid.ts";
import { copyPlain } from "../lib/plain.ts";
import { isPromise, whenReady } from "../lib/promise.ts";
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
import { CATALOGUE, type EncodedTyped, type Parser } from "./_parser.ts";
import { type Checked, decodeShape, encodeShape } from "./_shape.ts";
import { type Codec, FORGOTTEN } from "./codec.ts";
import type {
  DefineMessagesOptions,
  ForgottenMessage,
  ForgottenMessages,
  UnknownMessage,
  UnknownTypes,
} from "./definition.ts";

export function makeParser(
  definitions: Definitions,
  options: DefineMessagesOptions<UnknownTypes, ForgottenMessages, Codec | undefined>,
): Parser {
  checkOptions(options, { unknown: true, forgotten: true, codec: true });
  const { unknown = "refuse", forgotten = "pass", codec } = options;
  if (!["refuse", "skip", "pass"].includes(unknown)) {
    throw invalid("unknown", unknown, '"refuse", "skip" or "pass"');
  }
  if (!["pass", "skip"].includes(forgotten)) {
    throw invalid("forgotten", forgotten, '"pass" or "skip"');
  }
  if (codec !== undefined) {
    checkFunction("codec.encode", codec.encode);
    checkFunction("codec.decode", codec.decode);
  }
  const { byType, byStoredType } = checkDefinitions(definitions);
  const definedTypes = [...byStoredType.keys()];

  /** Makes a message that stands for one that cannot be read. It belongs to the catalogue, so a write refuses it. */
  function standIn(message: Message, type: string, storedType: string): Message {
    return Object.defineProperty({ ...message, type, storedType }, CATALOGUE, { value: parser });
  }

  function forget(message: Message): Message | undefined {
    if (forgotten === "skip") return undefined;
    const { type } = byStoredType.get(message.type)!;
    return standIn({ ...message, data: null }, "$forgotten", type);
  }

  const parser: Parser = {
    codec,
    definedTypes,
    typeOf: (storedType) => byStoredType.get(storedType)?.type,
    storedTypes(types) {
      if (types !== null) return types.flatMap((type) => byType.get(type)?.storedTypes ?? type);
      return unknown === "skip" ? definedTypes : null;
    },
    check: (message) => checkData(message, byType.get(message.type)!),
    encode: (message, streamName) => encodeTyped(message, streamName, byType, codec),
    decode(message) {
      const definition = byStoredType.get(message.type);
      if (definition !== undefined) return decodeTyped(message, definition, codec, forget);
      if (unknown === "skip") return undefined;
      if (unknown === "pass") return standIn(message, "$unknown", message.type);
      const issues = [undefinedType(message.type, byType)];
      throw new InvalidMessageError(message, message.streamName, issues);
    },
    decodeForgotten: codec && forgotten === "pass"
      ? (message) => {
        if (!byStoredType.has(message.type)) return undefined;
        return whenReady(
          decodeData(message, codec),
          (data) => data === FORGOTTEN ? forget(message) : undefined,
        );
      }
      : undefined,
  };
  return parser;
}

function checkData(message: MessageInput, definition: CheckedDefinition): void {
  const encoded = encodeShape(definition, message.data, "data");
  // If this promise rejects, the write says so.
  if (isPromise(encoded)) encoded.catch(() => {});
  else if (encoded.issues) throw new InvalidMessageError(message, undefined, encoded.issues);
}

async function encodeTyped(
  message: MessageInput,
  streamName: string,
  byType: DefinitionTable["byType"],
  codec: Codec | undefined,
): Promise<EncodedTyped> {
  checkMessage(message);
  // A copy: the caller may change the message while its data is encoded.
  const asked = copyPlain({ ...message }) as MessageInput;
  const { type, data, metadata = null } = asked;
  if (typeof metadata !== "object" || Array.isArray(metadata)) {
    throw invalid("metadata", metadata, "an object");
  }
  const definition = byType.get(type);
  if (definition === undefined) {
    throw cannotWrite(message, streamName, [standInIssue(message) ?? undefinedType(type, byType)]);
  }
  const encoded = await encodeShape(definition, data, "data");
  if (encoded.issues) throw cannotWrite(message, streamName, encoded.issues);
  const { length } = definition.upcasts;
  const stamped = length === 0 ? metadata : { ...metadata, schemaVersion: String(length + 1) };
  const coded = { type, streamName, metadata: stamped, isSnapshot: false };
  const stored = codec ? await codec.encode(encoded.value, coded) : encoded.value;
  return { stored: { ...asked, data: stored, metadata: stamped }, read: encoded.read };
}

function decodeTyped(
  message: Message,
  definition: CheckedDefinition,
  codec: Codec | undefined,
  forget: (message: Message) => Message | undefined,
): Message | undefined | Promise<Message | undefined> {
  const data = codec ? decodeData(message, codec) : message.data;
  return whenReady(data, (data) => {
    if (codec && data === FORGOTTEN) return forget(message);
    const newest = liftToNewest(definition.upcasts, data, message);
    return whenReady(decodeShape(definition, newest), (decoded: Checked) => {
      if (decoded.issues) {
        throw new InvalidMessageError(message, message.streamName, decoded.issues);
      }
      return { ...message, type: definition.type, data: decoded.value };
    });
  });
}

function decodeData({ type, streamName, metadata, data }: Message, codec: Codec): unknown {
  return codec.decode(data, { type, streamName, metadata, isSnapshot: false });
}

function undefinedType(type: string, byType: DefinitionTable["byType"]): Issue {
  const defined = [...byType.keys()].map((type) => `"${type}"`).join(", ");
  return { path: [], message: `the type "${type}" is not defined; those that are: ${defined}` };
}

/** Why a message is not written that stands for another; undefined for a message that does not. */
function standInIssue(message: MessageInput): Issue | undefined {
  const { type, storedType } = message as Partial<UnknownMessage | ForgottenMessage>;
  if (storedType === undefined) return undefined;
  return {
    path: [],
    message: type === "$forgotten"
      ? "it is forgotten: its data cannot be read, so it cannot be written"
      : `it was read as a type that is not defined, "${storedType}": give it that type to write it`,
  };
}
