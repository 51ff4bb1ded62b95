import { freeze } from "../lib/freeze.ts";
import { streamName } from "../names/stream_name.ts";
import { readStream } from "../read/read_stream.ts";
import type { Sql } from "../types.ts";
import { NO_STREAM } from "../write/write.ts";
import type { CheckedEntity } from "./_checked_entity.ts";
import { type Fold, type Folded, foldPage, pagesFrom } from "./_fold.ts";
import { type KnownSnapshot, readSnapshot, type StateAt, storeSnapshot } from "./_snapshot.ts";

/** A state to go on from. */
interface Basis extends Pick<StateAt, "state"> {
  /** The last message that was folded into the state; undefined for the state before the first message. */
  readonly last?: StateAt["last"];
  readonly snapshot: KnownSnapshot;
}

/** A value in the cache. */
interface Cached extends Basis {
  /** The fold that made the state. Entities may share a cache: each uses only states of its own fold. */
  readonly fold: Fold;
}

/** The state of an entity, and the position of its last message. */
export interface FetchedState {
  readonly state: unknown;
  readonly version: number;
}

/** Reads an entity: from its cached state on, else from its last snapshot, else from its first message. */
export async function fetchEntity(
  sql: Sql,
  entity: CheckedEntity,
  id: string,
): Promise<FetchedState> {
  const { snapshots, init } = entity;
  const name = streamName(entity.category, id);
  const cached = entity.cache?.get(name) as Cached | undefined;
  if (cached?.fold === entity.fold) {
    const fetched = await fetchFrom(sql, entity, id, name, cached);
    if (fetched) return fetched;
  }
  const stored = snapshots && await readSnapshot(sql, snapshots, id);
  const snapshotId = stored?.id ?? null;
  const stateAt = stored?.stateAt;
  if (stateAt) {
    const snapshot = { id: snapshotId, version: stateAt.last.position };
    const fetched = await fetchFrom(sql, entity, id, name, { ...stateAt, snapshot });
    if (fetched) return fetched;
  }
  const snapshot = { id: snapshotId, version: NO_STREAM };
  return (await fetchFrom(sql, entity, id, name, { state: init(), snapshot }))!;
}

/** Brings a state up to date and keeps it; undefined if its last message is not in the stream. */
async function fetchFrom(
  sql: Sql,
  entity: CheckedEntity,
  id: string,
  name: string,
  basis: Basis,
): Promise<FetchedState | undefined> {
  const folded = await foldFrom(sql, entity, name, basis);
  if (!folded) return undefined;
  const { state, last } = folded;
  if (!last) return { state, version: NO_STREAM };
  const { position, globalPosition } = last;
  const current = { state, last: { id: last.id, position, globalPosition } };
  const { snapshots } = entity;
  let { snapshot } = basis;
  if (snapshots) snapshot = await storeSnapshot(sql, snapshots, id, current, snapshot);
  entity.cache?.set(name, { ...current, state: freeze(state), fold: entity.fold, snapshot });
  return { state, version: position };
}

/** Reads the state that an entity had at a version. */
export async function fetchVersion(
  sql: Sql,
  entity: CheckedEntity,
  name: string,
  version: number,
): Promise<unknown> {
  if (version === NO_STREAM) return entity.init();
  const basis = { state: entity.init() };
  return (await foldFrom(sql, entity, name, basis, version))!.state;
}

/** Folds the newer messages into a state; undefined if its last message is not in the stream. */
async function foldFrom(
  sql: Sql,
  { fold, batchSize }: CheckedEntity,
  name: string,
  { state, last }: Pick<Basis, "state" | "last">,
  until = Infinity,
): Promise<Folded | undefined> {
  const folded: Folded = { state, last: undefined };
  const pages = pagesFrom(
    (page) => readStream(sql, name, page),
    (message) => message.position,
    last?.position ?? 0,
    batchSize,
    until,
  );
  for await (const page of pages) {
    let newer = page.filter(({ position }) => position <= until);
    if (last && !folded.last) {
      // The first page begins with the last message of the basis, if that is in the stream.
      const [first] = page;
      if (first?.id !== last.id || first?.globalPosition !== last.globalPosition) return undefined;
      folded.last = first;
      newer = newer.slice(1);
    }
    await foldPage(fold, folded, newer);
  }
  return folded;
}
