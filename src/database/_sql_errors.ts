/** SQLSTATEs of PostgreSQL. */
export const NO_SUCH_DATABASE = "3D000";
export const INSUFFICIENT_PRIVILEGE = "42501";
export const LOCK_NOT_AVAILABLE = "55P03";
/** If two create the same name at once, one fails: as a duplicate, or by the catalog's unique index. */
const ALREADY_EXISTS = ["42P04", "42710", "23505"];

export function isAlreadyThere(error: unknown): boolean {
  return ALREADY_EXISTS.includes(stateOfError(error) ?? "");
}

export function stateOfError(error: unknown): string | undefined {
  return (error as { code?: string } | null)?.code;
}

export function textOfError(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
