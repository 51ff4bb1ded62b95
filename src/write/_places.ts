/**
 * Where messages of another store are in this one.
 *
 * A run is messages whose global positions follow one another in both stores, and whose streams are shifted
 * alike. So a copy of a whole store takes a run for each gap, and not for each message.
 */
export interface CopiedPlaces {
  /** The global positions in the source at which the runs begin, in order. */
  readonly origins: number[];
  /** The global positions in this store at which the runs begin. */
  readonly positions: number[];
  readonly lengths: number[];
  /** By how much the messages' positions in their streams are higher than in the source. */
  readonly shifts: number[];
  /** Whether the messages came in the order of the source, and are in that order here. */
  isOrdered: boolean;
}

/** The place of a message of the source. */
export interface Place {
  /** Its global position in the source. */
  readonly origin: number;
  /** Its global position here. */
  readonly globalPosition: number;
  readonly shift: number;
}

export function noPlaces(): CopiedPlaces {
  return { origins: [], positions: [], lengths: [], shifts: [], isOrdered: true };
}

export function addPlace(places: CopiedPlaces, { origin, globalPosition, shift }: Place): void {
  const { origins, positions, lengths, shifts } = places;
  const last = origins.length - 1;
  const next = last < 0 ? 0 : origins[last]! + lengths[last]!;
  const nextHere = last < 0 ? 0 : positions[last]! + lengths[last]!;
  if (origin < next) {
    // A message that comes again.
    const known = findPlace(places, origin);
    if (known?.origin !== origin || known.globalPosition !== globalPosition) {
      places.isOrdered = false;
    }
    return;
  }
  if (globalPosition < nextHere) places.isOrdered = false;
  if (last >= 0 && origin === next && globalPosition === nextHere && shift === shifts[last]) {
    lengths[last]!++;
    return;
  }
  origins.push(origin);
  positions.push(globalPosition);
  lengths.push(1);
  shifts.push(shift);
}

/** Finds the last message of the source up to a global position; undefined if there is none. */
export function findPlace(
  { origins, positions, lengths, shifts }: CopiedPlaces,
  upTo: number,
): Place | undefined {
  const run = indexUpTo(origins, upTo);
  if (run < 0) return undefined;
  const along = Math.min(upTo - origins[run]!, lengths[run]! - 1);
  return {
    origin: origins[run]! + along,
    globalPosition: positions[run]! + along,
    shift: shifts[run]!,
  };
}

/** The index of the last number of an ordered list that is not above another number; -1 for none. */
export function indexUpTo(ordered: readonly number[], most: number): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ordered[middle]! <= most) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
