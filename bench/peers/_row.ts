/** A message as Message DB's functions answer it. */
export interface Row {
  readonly data: string;
  readonly metadata: string;
  readonly global_position: string;
}

/** As its reader has to, to have what this client answers. */
export function parse(row: Row) {
  return {
    ...row,
    data: JSON.parse(row.data),
    metadata: JSON.parse(row.metadata),
    globalPosition: Number(row.global_position),
  };
}
