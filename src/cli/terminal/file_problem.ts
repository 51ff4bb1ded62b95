const FILE_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "there is no such folder",
  EISDIR: "it is a folder",
  EEXIST: "it is there already",
  EACCES: "this user has no right to it",
  EPERM: "this user has no right to it",
  EROFS: "the disk is read-only",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk is full",
  EPIPE: "nobody reads it any more",
  ERR_STRING_TOO_LONG: "it is too long",
};

/** Why a file could not be read or written: the end of a sentence. */
export function fileProblem({ code = "", message }: NodeJS.ErrnoException): string {
  return FILE_PROBLEMS[code] ?? message;
}

/** Whether the operating system refused something, as to read a file. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}
