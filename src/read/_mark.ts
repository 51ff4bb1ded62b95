import { StoreWentBackError } from "../errors.ts";
import { STORE_NAME } from "./_store_identity.ts";

/**
 * The last message that a reader has passed. While the store has this message, it has everything
 * that was read before it.
 */
export interface Mark {
  /** The message's global position. */
  readonly position: number;
  /** The message's id; null if it is not known, or if the message was deleted. */
  readonly id: string | null;
  /** The name of the store when the message was last seen; null if it was not: see `STORE_NAME`. */
  readonly store: string | null;
}

/** What a statement tells about the mark that it was given. */
export interface Standing {
  /**
   * - `"kept"`: the message is there, or there was no mark.
   * - `"lost"`: the store went back.
   * - `"erased"`: the message was deleted, and its position will not be given again.
   * - `"behind"`: a standby does not have the message yet, or the role may not ask.
   */
  readonly standing: "kept" | "lost" | "erased" | "behind";
  /** The name of the store. */
  readonly store: string;
}

/** A mark as the parameter of a statement. */
export function markParameter(mark: Mark | null | undefined): string | null {
  return mark ? JSON.stringify([mark.position, mark.id, mark.store]) : null;
}

/** The mark before a global position: the message there is not known. */
export function markBefore(position: number): Mark | null {
  return position > 1 ? { position: position - 1, id: null, store: null } : null;
}

/**
 * Makes the next mark.
 *
 * @param last The last message that the statement has read, or that it knows to be passed.
 * @throws {StoreWentBackError} If the store went back.
 */
export function moveMark(
  mark: Mark | null,
  { standing, store }: Standing,
  last: readonly [position: number, id: string | null] | null,
): Mark | null {
  if (standing === "lost") throw new StoreWentBackError(mark!.position);
  if (last !== null && last[0] >= (mark?.position ?? 0)) {
    return { position: last[0], id: last[1], store };
  }
  if (mark === null || standing === "behind") return mark;
  return standing === "erased" ? { ...mark, id: null, store } : { ...mark, store };
}

/** Whether the message of a mark is gone, which was there before. */
export function isErased(mark: Mark | null | undefined, { standing }: Standing): boolean {
  return standing === "erased" && mark?.id !== null;
}

/** SQL conditions for a mark whose position is empty on a replica. */
export interface MarkOnReplica {
  /** Whether the message may still come. */
  readonly isBehind: string;
  /**
   * Whether the message is gone. A replica cannot ask the sequence of the primary, and its name is no other
   * store's: a handle may lead to several replicas.
   */
  readonly isErased?: string;
}

/**
 * SQL that answers a mark's `standing`, as JSON.
 *
 * Another message at the mark's position, or a sequence that is below it, shows that the store went
 * back. If the position is empty, the message may have been deleted, by retention for example. After
 * a crash the sequence skips up to 32 positions, so the position can be empty also if the store went
 * back by so few. Then the server has another start, and the store another name.
 *
 * @param mark SQL of the mark's parameter.
 * @param onReplica What a replica knows.
 */
export function standingJson(
  mark: string,
  { isBehind, isErased }: MarkOnReplica = { isBehind: "pg_is_in_recovery()" },
): string {
  return `(
    select
      case
        when place is null or stored_id = id then '"kept"'
        when stored_id is not null then case when id is null then '"kept"' else '"lost"' end
        when ${isBehind} then '"behind"'
${
    isErased
      ? `        when ${isErased} then '"erased"'\n`
      : ""
  }        when id is not null and store <> ${STORE_NAME} then '"lost"'
        when not has_sequence_privilege(
          'message_store.messages_global_position_seq', 'usage, select'
        ) then '"behind"'
        when coalesce(
          pg_sequence_last_value('message_store.messages_global_position_seq'), 0
        ) < place then '"lost"'
        else '"erased"'
      end
    from (
      select
        place, id, store,
        (
          select messages.id::text
          from message_store.messages
          where messages.global_position = place
        ) as stored_id
      from (
        select
          (mark ->> 0)::bigint as place,
          mark ->> 1 as id,
          mark ->> 2 as store
        from (select ${mark}::json as mark) as given
      ) as mark
      offset 0
    ) as marked
  )`;
}
