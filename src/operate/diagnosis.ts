/** What a {@linkcode Diagnosis} is about. */
export type DiagnosisName =
  | "server"
  | "store"
  | "rights"
  | "searchPath"
  | "partition"
  | "indexes"
  | "sequence"
  | "transactions"
  | "notify"
  | "pooler"
  | "timeZone"
  | "clock"
  | "durability"
  | "timeouts"
  | "isolation"
  | "connections";

/** What `diagnose` has found out about one thing. */
export interface Diagnosis {
  /** What it is about. A name may come more than once: one for each transaction. */
  readonly name: DiagnosisName;
  /**
   * - `"ok"`: as it should be.
   * - `"note"`: works, and is good to know.
   * - `"warning"`: something is slow, at risk, or about to fail.
   * - `"error"`: reads or writes fail.
   */
  readonly state: "ok" | "note" | "warning" | "error";
  /** What was found, and what it means: a sentence. */
  readonly text: string;
  /** What to do: a command or SQL to copy, or a sentence; null if nothing is to do. */
  readonly advice: string | null;
}
