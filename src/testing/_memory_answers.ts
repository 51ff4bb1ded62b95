import { DuplicateMessageError, WrongExpectedVersionError } from "../errors.ts";
import { STREAM_EXISTS } from "../write/write.ts";
import { category } from "../names/stream_name.ts";
import type { Direction, Message } from "../types.ts";

export type NamedParameters = Readonly<Record<string, string | null>>;

/**
 * Answers a statement from the messages of a store, and adds those that it writes. What is answered are
 * messages, or the value of the JSON.
 */
export type Answer = (messages: Message[], parameters: NamedParameters) => unknown;

export const writeInMemory: Answer = (messages, parameters) => {
  const { id, streamName, type, data, metadata, expectedVersion } = parameters;
  const known = messages.find((it) => it.id === id);
  if (known) return known.streamName === streamName ? known.position : null;
  checkVersion(messages, streamName!, expectedVersion!);
  const stored = { id: id!, type: type!, data: parsed(data), metadata: parsed(metadata) };
  return add(messages, streamName!, stored).position;
};

export const appendInMemory: Answer = (messages, { columns }) => {
  const lists: {
    readonly streamName: string[];
    readonly expectedVersion: (string | null)[];
    readonly id: string[];
    readonly type: (string | null)[];
    readonly data: unknown[];
    readonly metadata: Message["metadata"][];
  } = JSON.parse(columns!);
  const known = lists.id.flatMap((id, at) => {
    const message = messages.find((it) => it.id === id);
    return message ? [[at + 1, message.streamName, message.position, message.globalPosition]] : [];
  });
  const positions = () => [...new Set(lists.streamName)].map((name) => versionOf(messages, name));
  if (known.length > 0) return { known, unsure: null, positions: positions(), written: [] };
  lists.streamName.forEach((name, at) => checkVersion(messages, name, lists.expectedVersion[at]!));
  const twice = lists.id.find((id, at) => id !== null && lists.id.indexOf(id) < at);
  if (twice !== undefined) throw new DuplicateMessageError(twice);
  const written: Message[] = [];
  lists.type.forEach((type, at) => {
    if (type === null) return;
    const [id, data, metadata] = [lists.id[at]!, lists.data[at], lists.metadata[at]!];
    written.push(add(messages, lists.streamName[at]!, { id, type, data, metadata }));
  });
  return {
    known: null,
    unsure: null,
    positions: positions(),
    written: [written[0]!.time.getTime(), written.map((it) => it.globalPosition)],
  };
};

export const streamInMemory = (direction: Direction): Answer => (messages, parameters) => {
  const { streamName, position, batchSize } = parameters;
  const stream = messages.filter((it) => it.streamName === streamName);
  const found = direction === "forward"
    ? stream.filter((it) => it.position >= Number(position))
    : stream.reverse().filter((it) => it.position <= Number(position ?? Infinity));
  return found.slice(0, Number(batchSize));
};

export const categoryInMemory: Answer = (messages, { category: wanted, position, batchSize }) => {
  const found = messages.filter(({ streamName, globalPosition }) => {
    return category(streamName) === wanted && globalPosition >= Number(position);
  });
  return found.slice(0, Number(batchSize));
};

export const lastInMemory: Answer = (messages, { streamName, types }) => {
  const wanted = parsed(types) as string[] | null;
  const stream = messages.filter((it) => it.streamName === streamName);
  return stream.filter((it) => wanted?.includes(it.type) ?? true).slice(-1);
};

export const messagesInMemory: Answer = (messages, { ids }) => {
  const wanted = (parsed(ids) as string[]).map((id) => id.toLowerCase());
  return wanted.flatMap((id) => messages.find((it) => it.id === id) ?? []);
};

export const versionInMemory: Answer = (messages, { streamName }) =>
  versionOf(messages, streamName!);

export const outcomeInMemory: Answer = (messages, { idPrefix, streamNames }) => {
  const known = messages.filter(({ id }) => id.startsWith(idPrefix!) && id.length === 36);
  if (known.length === 0) return null;
  const names = parsed(streamNames) as string[];
  const globalPosition = known.at(-1)!.globalPosition;
  return {
    globalPosition,
    isElsewhere: known.some((it) => !names.includes(it.streamName)),
    versions: names.map((name) => versionOf(messages.slice(0, globalPosition), name)),
  };
};

/** Adds a message, as the store would, which has no gaps here. */
export function add(
  messages: Message[],
  streamName: string,
  message: Pick<Message, "id" | "type" | "data" | "metadata">,
  time: Date = new Date(),
): Message {
  const position = versionOf(messages, streamName) + 1;
  const globalPosition = messages.length + 1;
  const added = { ...message, streamName, position, globalPosition, time };
  messages.push(added);
  return added;
}

function versionOf(messages: readonly Message[], streamName: string): number {
  return messages.filter((it) => it.streamName === streamName).length - 1;
}

function checkVersion(
  messages: readonly Message[],
  streamName: string,
  expectedVersion: string | null,
): void {
  if (expectedVersion === null) return;
  const version = versionOf(messages, streamName);
  const expected = Number(expectedVersion);
  if (expected === STREAM_EXISTS ? version < 0 : expected !== version) {
    throw new WrongExpectedVersionError(streamName, expected, version);
  }
}

function parsed(json: string | null | undefined) {
  return JSON.parse(json ?? "null");
}
