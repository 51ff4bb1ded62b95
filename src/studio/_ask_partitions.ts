import { troubleOf } from "../handle/_driver_error.ts";
import { unanswered } from "../handle/_store_for.ts";
import { readFacts } from "../operate/_read_facts.ts";
import type { Sql } from "../types.ts";

/** How long an answer of a partition is waited for, in milliseconds. */
const LONGEST_WAIT = 10_000;

/** What a partition has answered. */
export interface OfPartition<T> {
  /** The number of the partition; null for a plain store. */
  readonly number: number | null;
  readonly answer: T;
}

/** Asks the partitions of a store, or the one store. */
export interface AskPartitions {
  /**
   * Asks each by itself; resolves to the answers of those that answered, in the order of the partitions.
   *
   * A partition that did not answer last is asked by one statement at a time, and nobody waits for its answer: a driver
   * may wait for 20 seconds before it connects again.
   *
   * @param request What the pages have asked: the log of a partition that does not answer names it.
   * @throws {PartitionError} If no partition answers.
   */
  each<T>(ask: (store: Sql) => Promise<T>, request: Request): Promise<OfPartition<T>[]>;
  /**
   * Asks as `each`; resolves to the first answer that is not null, or to null.
   *
   * @throws {PartitionError} If all that answer answer null, and one does not answer.
   */
  first<T>(ask: (store: Sql) => Promise<T | null>, request: Request): Promise<T | null>;
  /** The numbers of the partitions that did not answer last. */
  silent(): number[];
  /**
   * Looks whether the store has answered last, and if not, whether it answers again.
   *
   * @throws {PartitionError} If it is a partition that did not answer last.
   */
  check(store: Sql): void;
}

interface Asked {
  readonly store: Sql;
  readonly number: number;
  /** Why there was no answer; undefined after one. */
  silence: unknown;
  /** Whether a statement waits for an answer since then. */
  isTried: boolean;
}

export function askPartitions(
  stores: readonly Sql[],
  onError: (error: unknown, request: Request) => void,
): AskPartitions {
  const all = stores.map((store, number): Asked => ({
    store,
    number,
    silence: undefined,
    isTried: false,
  }));
  const silent = () => all.filter(({ silence }) => silence !== undefined);
  const failure = (of: readonly Asked[]) =>
    unanswered(
      // One whose answer was not waited for may have answered by now.
      of.map(({ number, silence }) => ({ number, reason: silence ?? lateError(number) })),
      all.length,
    );
  const each: AskPartitions["each"] = async (ask, request) => {
    const [only] = stores;
    if (stores.length === 1) return [{ number: null, answer: await ask(only!) }];
    const tell = (error: unknown) => onError(error, request);
    const found = await Promise.all(all.map((asked) => askOne(asked, ask, tell)));
    const answers = found.flat();
    if (answers.length === 0) throw failure(all);
    return answers;
  };
  return {
    each,
    first: async (ask, request) => {
      const answers = await each(ask, request);
      const found = answers.find(({ answer }) => answer !== null);
      const missing = all.filter((it) => !answers.some(({ number }) => number === it.number));
      if (found === undefined && stores.length > 1 && missing.length > 0) throw failure(missing);
      return found?.answer ?? null;
    },
    silent: () => silent().map(({ number }) => number),
    check: (store) => {
      const asked = silent().find((it) => it.store === store);
      if (asked === undefined) return;
      void askOne(asked, readFacts, () => {});
      throw failure([asked]);
    },
  };
}

/** Answers nothing if the partition does not answer in time, or did not last: then its answer is not waited for. */
async function askOne<T>(
  asked: Asked,
  ask: (store: Sql) => Promise<T>,
  tell: (error: unknown) => void,
): Promise<OfPartition<T>[]> {
  const { store, number } = asked;
  const isSilent = asked.silence !== undefined;
  if (isSilent && asked.isTried) return [];
  asked.isTried = isSilent;
  const noteSilence = (error: unknown): [] => {
    if (asked.silence === undefined) tell(error);
    asked.silence = error;
    return [];
  };
  const answered = ask(store).then((answer) => {
    asked.silence = undefined;
    return [{ number, answer }];
  }, (error) => {
    if (troubleOf(error) !== undefined) return noteSilence(error);
    asked.silence = undefined;
    throw error;
  });
  if (isSilent) {
    // The next statement tells why this one failed.
    answered.catch(() => {}).finally(() => asked.isTried = false);
    return [];
  }
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<[]>((resolve) => {
    timer = setTimeout(() => resolve(noteSilence(lateError(number))), LONGEST_WAIT);
  });
  try {
    return await Promise.race([answered, late]);
  } finally {
    clearTimeout(timer);
  }
}

function lateError(number: number): Error {
  const message =
    `Cannot wait longer for partition ${number}: no answer came within ${LONGEST_WAIT} ms`;
  return Object.assign(new Error(message), { code: "ANSWER_TIMEOUT" });
}

/** Says which partitions do not answer: "Partition 2 of 4 does not answer". */
export function silenceText(numbers: readonly number[], count: number): string {
  const list = new Intl.ListFormat("en").format(numbers.map(String));
  return numbers.length === 1
    ? `Partition ${list} of ${count} does not answer`
    : `Partitions ${list} of ${count} do not answer`;
}
