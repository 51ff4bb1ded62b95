import { secondsText } from "./_diagnose_store.ts";
import type { Facts } from "./_read_facts.ts";
import type { Pooling } from "./_read_pooling.ts";
import type { Diagnosis } from "./diagnosis.ts";

/** How far two clocks may differ, in milliseconds. */
const CLOCK_TOLERANCE = 2000;
/** Which part of the connections may be in use. */
const FULL = 0.8;

/** This machine's clock before and after the server's was read. */
interface ClockReading {
  readonly before: number;
  readonly after: number;
}

export function diagnoseServer({ serverVersion, isStandby }: Facts): Diagnosis[] {
  const name = "server";
  const server = `PostgreSQL ${serverVersion}`;
  return [
    isStandby
      ? {
        name,
        state: "note",
        text: `${server} is a standby: it only reads`,
        advice: "Connect to the primary to write",
      }
      : { name, state: "ok", text: `${server}, a primary`, advice: null },
  ];
}

/** Diagnoses the session and the settings of the server. */
export function diagnoseSession(
  facts: Facts,
  pooling: Pooling,
  reading: ClockReading,
): Diagnosis[] {
  return [
    ...diagnosePooling(pooling),
    diagnoseTimeZone(facts),
    diagnoseClock(facts, reading),
    ...diagnoseDurability(facts),
    diagnoseTimeouts(facts),
    diagnoseIsolation(facts),
    diagnoseConnections(facts),
  ];
}

function diagnosePooling(pooling: Pooling): Diagnosis[] {
  const name = "pooler";
  if (pooling === null) return [];
  if (pooling === "none") {
    return [{ name, state: "ok", text: "No pooler is between", advice: null }];
  }
  const advice = "postgres(url, { prepare: false }), and an address past the pooler " +
    "for consumers with notify: true";
  return [
    pooling === "transaction"
      ? {
        name,
        state: "note",
        text: "A pooler in transaction mode is between: LISTEN hears nothing through it, " +
          "and prepared statements may hang before PgBouncer 1.21",
        advice,
      }
      : {
        name,
        state: "note",
        text:
          "A pooler or a proxy is between. In transaction mode, LISTEN hears nothing through it, " +
          "and prepared statements may hang before PgBouncer 1.21",
        advice,
      },
  ];
}

function diagnoseTimeZone({ role, utcOffset, settings: { TimeZone } }: Facts): Diagnosis {
  const name = "timeZone";
  if (utcOffset === 0) {
    const text = `The session's time zone is ${TimeZone}, which changes no time of a message`;
    return { name, state: "ok", text, advice: null };
  }
  return {
    name,
    state: "warning",
    text: `In the session's time zone ${TimeZone}, PostgreSQL's "utc" is ` +
      `${utcOffset / 3600} h off: so are the times of messages that other clients write`,
    advice: `alter role ${role} set timezone = 'UTC';`,
  };
}

function diagnoseClock({ now }: Facts, { before, after }: ClockReading): Diagnosis {
  const name = "clock";
  const difference = now - (before + after) / 2;
  // The server read its clock at any time between.
  const doubt = (after - before) / 2;
  if (Math.abs(difference) - doubt <= CLOCK_TOLERANCE) {
    const text = "The clocks of this machine and of the server agree";
    return { name, state: "ok", text, advice: null };
  }
  return {
    name,
    state: "warning",
    text: `The server's clock is ${secondsText(Math.abs(difference))} ` +
      `${difference > 0 ? "ahead of" : "behind"} this machine's: messages have the server's time`,
    advice: "Synchronize both clocks by NTP",
  };
}

function diagnoseDurability({ settings }: Facts): Diagnosis[] {
  const name = "durability";
  const losses = [
    ["fsync", "a crash of the machine may destroy the store"],
    ["full_page_writes", "a crash of the machine may destroy a part of the store"],
    ["synchronous_commit", "a crash may lose the last writes, which were acknowledged"],
  ] as const;
  const found = losses.flatMap(([setting, loss]): Diagnosis[] =>
    settings[setting] === "off"
      ? [{
        name,
        state: "warning",
        text: `${setting} is off: ${loss}`,
        advice: `alter system set ${setting} = on; select pg_reload_conf();`,
      }]
      : []
  );
  if (found.length > 0) return found;
  return [{ name, state: "ok", text: "What is acknowledged survives a crash", advice: null }];
}

function diagnoseTimeouts({ role, settings }: Facts): Diagnosis {
  const name = "timeouts";
  const { idle_in_transaction_session_timeout: idle, transaction_timeout: all } = settings;
  if (idle !== "0" || (all ?? "0") !== "0") {
    return { name, state: "ok", text: "A transaction that hangs is ended", advice: null };
  }
  return {
    name,
    state: "note",
    text: "idle_in_transaction_session_timeout is 0: " +
      "a transaction that hangs holds its category for ever",
    advice: `alter role ${role} set idle_in_transaction_session_timeout = '60s';`,
  };
}

function diagnoseIsolation({ role, settings }: Facts): Diagnosis {
  const name = "isolation";
  const level = settings.default_transaction_isolation;
  if (level === "read committed") {
    return { name, state: "ok", text: "Transactions are read committed", advice: null };
  }
  return {
    name,
    state: "warning",
    text: `default_transaction_isolation is ${level}: a write that meets another write fails`,
    advice: `alter role ${role} set default_transaction_isolation = 'read committed';`,
  };
}

function diagnoseConnections({ connections: { used, most } }: Facts): Diagnosis {
  const name = "connections";
  const text = `${used} of ${most} connections are in use`;
  if (used < most * FULL) return { name, state: "ok", text, advice: null };
  return {
    name,
    state: "warning",
    text: `${text}: when all are, connecting fails`,
    advice: "Put a pooler between, or raise max_connections",
  };
}
