import postgres from "postgres";

/** A node of a plan, as PostgreSQL's JSON has it. */
interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Shared Hit Blocks"?: number;
  readonly "Shared Read Blocks"?: number;
  readonly Plans?: readonly PlanNode[];
}

/** What statements did to the messages, those inside of functions too. */
export interface Work {
  /** Milliseconds that the statements took. */
  readonly time: number;
  /** How many statements were sent. */
  readonly statements: number;
  /** Pages of 8 kB that were looked at, each as often as it was. */
  readonly buffers: number;
  /** The indexes, and how many rows each gave at most at one place of a plan. */
  readonly indexes: ReadonlyMap<string, number>;
  /** The rows that went into each sort. */
  readonly sorts: readonly number[];
  /** The rows of the table that each sequential scan gave. */
  readonly seqScans: readonly number[];
  /** The rows that one place of a plan gave at most, in all its runs together. */
  readonly mostRows: number;
  /** What the operation answered. */
  readonly answer: unknown;
}

/** How a prepared statement is planned. */
export type PlanMode = "auto" | "force_custom_plan" | "force_generic_plan";

/** Runs operations and tells by which plans their statements ran. */
export interface Explainer {
  readonly sql: postgres.Sql;
  explain(operation: (sql: postgres.TransactionSql) => Promise<unknown>): Promise<Work>;
  /** As they are from now on. */
  planBy(mode: PlanMode): Promise<void>;
}

/** What the server sends about a statement that it has run. */
interface Report {
  readonly "Query Text": string;
  readonly Plan: PlanNode;
}

/**
 * Connects as a superuser, so that the server sends the plan of every statement that it has run: the
 * statement itself, as the driver has prepared it, and those inside of Message DB's functions.
 */
export async function explainer(url: string): Promise<Explainer> {
  const sent = new Set<string>();
  let reports: (Report & { readonly duration: number })[] = [];
  const sql = postgres(url, {
    max: 1,
    fetch_types: false,
    debug: (_, query) => sent.add(query),
    onnotice: ({ message = "" }) => {
      const [, duration, report] = /^duration: ([\d.]+) ms {2}plan:\n(.*)/s.exec(message) ?? [];
      if (report) reports.push({ ...JSON.parse(report), duration: Number(duration) });
    },
  });
  await sql.unsafe(`
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on;
    set auto_explain.log_buffers = on;
    set auto_explain.log_timing = off;
    set auto_explain.log_format = json;
    set auto_explain.log_level = notice;
    set message_store.sql_condition = on
  `);
  const rollback = new Error("Rolled back");

  return {
    sql,
    planBy: async (mode) => void await sql.unsafe(`set plan_cache_mode = ${mode}`),
    explain: async (operation) => {
      reports = [];
      let answer: unknown;
      await sql.begin(async (tx) => {
        answer = await operation(tx);
        throw rollback;
      }).catch((error) => {
        if (error !== rollback) throw error;
      });
      // What a function runs is in the numbers of the statement that calls it.
      const own = reports.filter((it) => sent.has(it["Query Text"]));
      // A plan has ways that are not gone: what they depend on is looked at first.
      const nodes = reports.flatMap(({ Plan }) => nodesOf(Plan))
        .filter((it) => it["Actual Loops"] > 0);
      const indexes = new Map<string, number>();
      for (const node of nodes) {
        const name = node["Index Name"];
        if (name?.startsWith("messages_")) {
          indexes.set(name, Math.max(indexes.get(name) ?? 0, rowsOf(node)));
        }
      }
      return {
        time: own.reduce((sum, it) => sum + it.duration, 0),
        statements: own.length,
        buffers: own.reduce((sum, { Plan }) => sum + buffersOf(Plan), 0),
        indexes,
        sorts: nodes.filter((it) => /Sort$/.test(it["Node Type"]))
          .map(({ Plans = [] }) => Math.max(...Plans.map(rowsOf))),
        seqScans: nodes
          .filter((it) => it["Node Type"] === "Seq Scan" && it["Relation Name"] === "messages")
          .map(rowsOf),
        mostRows: Math.max(0, ...nodes.map(rowsOf)),
        answer,
      };
    },
  };
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

/** The rows of all its runs together. */
function rowsOf(node: PlanNode): number {
  return Math.round(node["Actual Rows"] * node["Actual Loops"]);
}

function buffersOf(node: PlanNode): number {
  return (node["Shared Hit Blocks"] ?? 0) + (node["Shared Read Blocks"] ?? 0);
}
