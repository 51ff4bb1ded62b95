import { expect, onTestFinished, test, vi } from "vitest";
import { shareReads } from "../../src/studio/_shared_reads.ts";

/** Something that a page asks for, in its turn: it asks for one thing a second. */
type Task = (second: number) => void;

/** Ten minutes of pages that are open together, and what they have sent. */
async function openTogether(
  makePages: (make: {
    readonly look: (name: string, goodFor: number, statements: number) => Task;
    readonly again: (name: string, statements: number) => Task;
  }) => readonly (readonly Task[])[],
) {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  const { share, again } = shareReads();
  const answered = new Map<string, number[]>();
  let sent = 0;
  const pages = makePages({
    look: (key, goodFor, statements) => (second) => {
      const ask = () => {
        sent += statements;
        answered.set(key, [...answered.get(key) ?? [], second]);
        return Promise.resolve();
      };
      void share({ key, goodFor, statements, ask });
    },
    again: (what, statements) => {
      answered.set(what, [0]);
      return (second) => {
        const ask = () => {
          sent += statements;
          answered.get(what)!.push(second);
          return Promise.resolve();
        };
        const known = String(second);
        void again({ what, known, statements, isPutOff: true, ask });
      };
    },
  });
  const due = pages.map((tasks) => tasks.map(() => 0));
  for (let second = 0; second < 600; second++) {
    for (const [page, tasks] of pages.entries()) {
      const longest = Math.max(...due[page]!);
      const at = due[page]!.indexOf(longest);
      due[page] = due[page]!.map((it) => it + 1);
      due[page]![at] = 0;
      tasks[at]!(second);
      await vi.advanceTimersByTimeAsync(1000 / pages.length);
    }
  }
  const waits = [...answered].map(([name, times]) => {
    const all = [...times, 600];
    return [name, Math.max(...all.slice(1).map((time, at) => time - all[at]!))] as const;
  });
  return { sent, waits: new Map(waits) };
}

test.each([
  [1, 1, 1],
  [3, 20, 1],
  [1, 1, 2],
  [1, 3, 2],
  [2, 10, 4],
])("each of %i lists has its turn beside %i overviews, over %i partitions", async (
  lists,
  overviews,
  partitions,
) => {
  const { sent, waits } = await openTogether(({ look, again }) => {
    const pulse = () => look("pulse", 1000 * partitions, partitions);
    return [
      ...Array.from({ length: lists }, (_, at) => [pulse(), again(`list ${at}`, 1)]),
      ...Array.from({ length: overviews }, () => [pulse(), look("status", 5000, partitions)]),
    ];
  });
  expect(sent).toBeLessThan(660);
  for (let at = 0; at < lists; at++) expect(waits.get(`list ${at}`)).toBeLessThan(20);
  expect(waits.get("pulse")).toBeLessThan(30);
});

test("each member of a group on a page has its turn, beside two lists", async () => {
  const { sent, waits } = await openTogether(({ look, again }) => [
    [
      look("pulse", 1000, 1),
      look("consumers", 5000, 1),
      again("parked", 2),
      ...Array.from({ length: 8 }, (_, member) => again(`next ${member}`, 5)),
    ],
    [look("pulse", 1000, 1), again("list 0", 1)],
    [look("pulse", 1000, 1), again("list 1", 1)],
  ]);
  expect(sent).toBeLessThan(660);
  expect(waits.size).toBe(13);
  for (const [name, wait] of waits) expect(wait, name).toBeLessThan(200);
});

test("what was looked at before a change is no answer for who asks after it", async () => {
  const { share, outdate } = shareReads();
  const asked: ((value: string) => void)[] = [];
  const look = () =>
    share({
      key: "consumers",
      goodFor: 5000,
      statements: 1,
      ask: () => new Promise<string>((resolve) => asked.push(resolve)),
    });
  const before = look();
  outdate();
  const [after, together] = [look(), look()];
  expect(asked.length).toBe(2);
  asked[1]!("after");
  asked[0]!("before");
  expect(await Promise.all([before, after, together, look()]))
    .toEqual(["before", "after", "after", "after"]);
  outdate();
  const later = look();
  asked[2]!("later");
  expect(await later).toBe("later");
});
