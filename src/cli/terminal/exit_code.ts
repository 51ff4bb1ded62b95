/** What the exit codes of `messagedb` mean. `lag` has those of Nagios instead. */
export const EXIT_CODE = {
  done: 0,
  /** The command failed, or what was looked at is not as it should be. */
  failed: 1,
  /** The arguments cannot be used. Nothing was sent. */
  badUse: 2,
  /** No server answers, or the server has no Message DB that this role may use. */
  noStore: 3,
  /** Of `lag`: how far consumers are behind is not known. 0 is OK, 1 a warning, 2 critical. */
  unknownLag: 3,
  /** Ctrl-C or SIGTERM ended the command before its end. */
  interrupted: 130,
} as const;

/** One of `EXIT_CODE`. */
export type ExitCode = number;

/** A failure that has its sentence and its exit code already. */
export class CommandError extends Error {
  override readonly name = "CommandError" as const;
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = EXIT_CODE.failed, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** An argument that cannot be used. */
export function badUse(message: string): CommandError {
  return new CommandError(message, EXIT_CODE.badUse);
}
