import { DISTRIBUTION_TEXTS } from "../read/_distribution.ts";
import type { Facts, StoreFacts } from "./_read_facts.ts";
import type { Diagnosis, DiagnosisName } from "./diagnosis.ts";
import type { IndexStatus, OpenTransaction, StoreStatus } from "./status.ts";

/** The version of Message DB that `install` installs. */
const CURRENT_VERSION = "1.3.0";
/** From this age on, a transaction that holds a category is worth a warning, in milliseconds. */
const LONG_AGE = 60_000;

/** The command for the store in a schema. */
function commandFor(schema: string, command: string): string {
  return `messagedb ${command}${schema === "message_store" ? "" : ` --schema ${schema}`}`;
}

/** Diagnoses what any role may know of a store. */
export function diagnoseFacts(facts: Facts, schema: string): Diagnosis[] {
  const { store, database } = facts;
  if (store === null) {
    return [{
      name: "store",
      state: "error",
      text: schema === "message_store"
        ? `The database "${database}" has no Message DB`
        : `The database "${database}" has no Message DB in a schema "${schema}"`,
      advice: commandFor(schema, "install"),
    }];
  }
  return [
    diagnoseVersion(store, schema),
    diagnoseRights(facts, store, schema),
    ...store.mayUse ? [diagnoseSearchPath(facts, schema)] : [],
    diagnoseNotify(store, schema),
  ];
}

function diagnoseVersion(
  { version, missing, distribution }: StoreFacts,
  schema: string,
): Diagnosis {
  const name = "store";
  if (distribution !== null) {
    return {
      name,
      state: "error",
      text: `The table ${schema}.messages ${DISTRIBUTION_TEXTS[distribution]}`,
      advice: "Put the messages into a plain table of one PostgreSQL database",
    };
  }
  if (missing.length > 0) {
    return {
      name,
      state: "error",
      text: `Parts of Message DB are missing: ${missing.join(", ")}`,
      advice: commandFor(schema, "install"),
    };
  }
  const text = `Message DB ${version ?? "of an unknown version"}`;
  const isOld = version !== null &&
    version.localeCompare(CURRENT_VERSION, "en", { numeric: true }) < 0;
  return isOld
    ? {
      name,
      state: "warning",
      text: `${text} is older than ${CURRENT_VERSION}, for which this package is made`,
      advice: commandFor(schema, "upgrade"),
    }
    : { name, state: "ok", text, advice: null };
}

function diagnoseRights(
  { role, hasGroup, hasOwnSchema }: Facts,
  store: StoreFacts,
  schema: string,
): Diagnosis {
  const name = "rights";
  const grant = `grant ${schema} to ${role};`;
  // Where the role message_store is missing, install makes it and gives it its rights.
  // A tenant's role must not get the rights of another store: that would open the border between them.
  const advice = hasOwnSchema && role !== schema
    ? `The role may be a tenant's: name its schema, ${role}, or connect as a role of this store`
    : hasGroup
    ? grant
    : `${commandFor(schema, "install")}, then: ${grant}`;
  if (!store.mayUse || !store.maySelect) {
    return { name, state: "error", text: `The role ${role} may not read messages`, advice };
  }
  if (store.mayNotCall.length > 0) {
    const functions = store.mayNotCall.join(", ");
    const text = `The role ${role} may not call these functions of Message DB: ${functions}`;
    return { name, state: "error", text, advice };
  }
  if (!store.mayInsert || !store.maySequence) {
    const text = `The role ${role} may read messages, and not write them`;
    return { name, state: "note", text, advice };
  }
  const rights = store.mayDelete ? "read, write and delete" : "read and write";
  return { name, state: "ok", text: `The role ${role} may ${rights} messages`, advice: null };
}

function diagnoseSearchPath(
  { role, searchPath: { setting, hasStore, shadows } }: Facts,
  schema: string,
): Diagnosis {
  const name = "searchPath";
  const advice = `alter role ${role} set search_path = ${schema}, public;`;
  if (shadows.length > 0) {
    const text = `The search_path is ${setting}: other clients find ${shadows.join(", ")} ` +
      "before Message DB's own";
    return { name, state: "warning", text, advice };
  }
  if (!hasStore) {
    const text = `The search_path is ${setting}: this package needs no ${schema} in it, ` +
      "but other clients do";
    return { name, state: "note", text, advice };
  }
  return { name, state: "ok", text: `The search_path is ${setting}`, advice: null };
}

function diagnoseNotify({ notify }: StoreFacts, schema: string): Diagnosis {
  const name = "notify";
  if (notify === null) {
    return { name, state: "ok", text: "Writes notify no listener", advice: null };
  }
  if (!["O", "A"].includes(notify)) {
    return {
      name,
      state: "warning",
      text: "The trigger messages_notify is disabled: writes notify no listener",
      advice: commandFor(schema, "install --notify"),
    };
  }
  return { name, state: "ok", text: "Writes notify listeners", advice: null };
}

/** Diagnoses what a role may know that reads messages. */
export function diagnoseStatus(
  { indexes, partition, sequence, transactions }: StoreStatus,
  schema: string,
): Diagnosis[] {
  return [
    ...diagnosePartition(partition),
    ...allOr(
      "indexes",
      indexes.flatMap((it) => diagnoseIndex(it, schema)),
      "All indexes are there",
    ),
    diagnoseSequence(sequence, schema),
    ...allOr(
      "transactions",
      transactions.map(diagnoseTransaction),
      'No transaction holds a category or readers of "$all" for a second or more',
    ),
  ];
}

function diagnosePartition(partition: StoreStatus["partition"]): Diagnosis[] {
  if (partition === null) return [];
  const text = `This database is partition ${partition.number} of ${partition.of}`;
  return [{ name: "partition", state: "ok", text, advice: null }];
}

function allOr(name: DiagnosisName, found: readonly Diagnosis[], text: string): Diagnosis[] {
  return found.length > 0 ? [...found] : [{ name, state: "ok", text, advice: null }];
}

function diagnoseIndex(
  { name: index, state: indexState }: IndexStatus,
  schema: string,
): Diagnosis[] {
  const name = "indexes";
  if (indexState === "valid") return [];
  if (indexState === "missing") {
    const isUnique = index !== "messages_category";
    return [{
      name,
      state: isUnique ? "error" : "warning",
      text: `The index ${index} is missing: ` +
        (isUnique ? "messages can be there twice, and reads are slow" : "reads are slow"),
      advice: commandFor(schema, "install"),
    }];
  }
  const isOfStore = /^messages_(id|stream|category)$/.test(index);
  return [{
    name,
    state: "warning",
    text: `The index ${index} is invalid: PostgreSQL does not use it, or it allows doubles`,
    advice: isOfStore
      ? `drop index ${schema}.${index}; then: ${commandFor(schema, "install")}`
      : index === "messages_names"
      ? commandFor(schema, "install --name-index")
      : `reindex index ${schema}."${index.replaceAll('"', '""')}";`,
  }];
}

function diagnoseSequence(sequence: StoreStatus["sequence"], schema: string): Diagnosis {
  const name = "sequence";
  if (sequence === null) {
    const text = "This role may not see whether the sequence of global positions is behind";
    return { name, state: "note", text, advice: null };
  }
  if (sequence.isBehind) {
    return {
      name,
      state: "error",
      text: "The sequence of global positions is behind the messages: writes fail. " +
        "This happens after logical replication, or a restore, that copied only the messages",
      advice: commandFor(schema, "install"),
    };
  }
  return { name, state: "ok", text: "The sequence of global positions is ahead", advice: null };
}

/** Diagnoses a transaction that holds a category, or readers of `"$all"`. */
export function diagnoseTransaction(transaction: OpenTransaction): Diagnosis {
  const { pid, prepared, age, holdsAll, categories, waiting } = transaction;
  const held = [
    ...categories.length > 0 ? [`nobody else can write to ${categories.join(", ")}`] : [],
    ...holdsAll ? ['readers of "$all" wait'] : [],
    ...waiting > 0 ? [`${waiting} ${waiting === 1 ? "writer waits" : "writers wait"}`] : [],
  ];
  const time = age === null ? "for a time that this role may not see" : `for ${secondsText(age)}`;
  return {
    name: "transactions",
    state: waiting > 0 || (age ?? 0) >= LONG_AGE ? "warning" : "note",
    text: `${describeHolder(transaction)} has a transaction open ${time}: ${held.join(", ")}`,
    advice: prepared === null
      ? `select pg_terminate_backend(${pid});`
      : `rollback prepared '${prepared.replaceAll("'", "''")}';`,
  };
}

function describeHolder({ pid, prepared, user, applicationName, state }: OpenTransaction): string {
  const known = [
    ...user === null ? [] : [`role ${user}`],
    ...applicationName ? [`application "${applicationName}"`] : [],
    ...state === null ? [] : [state],
  ];
  const who = prepared === null ? `Process ${pid}` : `The prepared transaction "${prepared}"`;
  return known.length === 0 ? who : `${who} (${known.join(", ")})`;
}

/** A span in seconds, or in minutes if it is long. */
export function secondsText(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}
