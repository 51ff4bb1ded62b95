import type { LoadReport } from "./_load.ts";

/** What a report says that must never be, as sentences; none if all promises were kept. */
export function brokenPromises(
  report: LoadReport,
  { mayLose }: { readonly mayLose: boolean },
): string[] {
  const none = (what: string, count: number) => count === 0 ? [] : [`${count} ${what}`];
  const noneOf = (what: string, counts: Readonly<Record<string, number>>) =>
    Object.entries(counts).flatMap(([name, count]) => none(`${what} by ${name}`, count));
  return [
    ...mayLose ? none("lost messages that nobody was told of", report.untold) : [
      ...none("acknowledged messages are lost", report.lost),
      ...noneOf("times told of a loss", report.timesTold),
    ],
    ...none("effects of lost messages", report.effectsOfLost),
    ...none("messages are doubled", report.doubled),
    ...none("messages are elsewhere than was answered", report.misplaced),
    ...none("streams with a missing position", report.brokenStreams),
    ...noneOf("messages not seen", report.unseen),
    ...noneOf("messages seen out of order", report.outOfOrder),
    ...none("effects missing, doubled or out of order", report.wrongEffects),
    ...report.readersNotTold.map((name) => `${name} saw lost messages and was not told`),
    ...report.wrongErrors.map((error) => `an error reached a caller: ${error}`),
  ];
}
