import type { Attributes } from "@opentelemetry/api";
import { textOf } from "../handle/_statement_text.ts";
import { type LearnedStatement, statementsByText } from "../http/gateway/sql/_statements.ts";
import { ATTRIBUTE } from "./_conventions.ts";

/** A statement, as spans show it. */
export interface Described {
  /** What it does and to what, without any value: `INSERT messages`. */
  readonly summary: string;
  readonly attributes: Attributes;
  /** What is known of it if it writes messages. */
  readonly write: LearnedStatement | undefined;
  /** Whether it imports messages: it writes what others have sent. */
  readonly isImport: boolean;
}

/** What writes messages in the sender's name. */
const WRITES: readonly (string | undefined)[] = [
  "write",
  "writeBatch",
  "writeStreams",
  "synchronize",
];

const described = new WeakMap<TemplateStringsArray, Described>();

/** The description of a statement; a promise of it until the statements are learned. */
export function describeStatement(strings: TemplateStringsArray): Described | Promise<Described> {
  return described.get(strings) ?? describeNew(strings);
}

/** The description of a statement that the driver sends by itself, and that has no table. */
export function describeOwn(operation: "COMMIT" | "ROLLBACK"): Described {
  return {
    summary: operation,
    attributes: basicAttributes(operation, operation),
    write: undefined,
    isImport: false,
  };
}

async function describeNew(strings: TemplateStringsArray): Promise<Described> {
  const text = textOf(strings);
  const known = (await statementsByText()).get(text);
  const isWrite = known !== undefined && WRITES.includes(known.operation);
  const description: Described = {
    ...summarizeText(text),
    write: isWrite ? known : undefined,
    isImport: known?.operation === "importMessages",
  };
  described.set(strings, description);
  return description;
}

/**
 * Says what a statement does to which table, or which function of Message DB it calls. What it looks up besides is
 * left out: a summary names what tells statements apart.
 */
function summarizeText(text: string): Pick<Described, "summary" | "attributes"> {
  const table = /\b(insert into|delete from) message_store\.(\w+)/.exec(text);
  const writes = table === null && text.includes("message_store.write_message(");
  const read = /\b(?:from|join) message_store\.(messages)\b/.exec(text)?.[1];
  const called = writes ? "write_message" : /message_store\.(\w+)\(/.exec(text)?.[1];
  const collection = table?.[2] ?? (writes ? undefined : read);
  const procedure = collection === undefined ? called : undefined;
  const operation = table === null ? "SELECT" : table[1]!.split(" ")[0]!.toUpperCase();
  const target = collection ?? procedure;
  const summary = target === undefined ? operation : `${operation} ${target}`;
  return {
    summary,
    attributes: {
      ...basicAttributes(summary, operation),
      ...(collection !== undefined && { [ATTRIBUTE.dbCollection]: collection }),
      ...(procedure !== undefined && { [ATTRIBUTE.dbProcedure]: procedure }),
    },
  };
}

function basicAttributes(summary: string, operation: string): Attributes {
  return {
    [ATTRIBUTE.dbSystem]: "postgresql",
    [ATTRIBUTE.dbSummary]: summary,
    [ATTRIBUTE.dbOperation]: operation,
  };
}
