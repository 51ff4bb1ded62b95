import { StoreWentBackError } from "../errors.ts";
import type { ShutdownControl } from "../lib/shutdown.ts";
import { abortable } from "../lib/wait.ts";
import type { AggregatedMessage } from "../read/reference.ts";
import { handleMessage } from "./_handle_message.ts";
import { isStoreDue, passTo } from "./_kept_position.ts";
import type { Placed, Run } from "./_task.ts";

/** A run that handles pages. */
export interface PageRun extends Run, Pick<ShutdownControl, "stop"> {
  /** When to begin no more messages, by `Date.now()`. */
  readonly deadline: number;
  /** Whether the next page is handled message by message: a handler has not ended, and nobody knows of which. */
  isAlone: boolean;
  /** Stores the position. */
  store(): Promise<unknown>;
}

/**
 * Handles the messages of a page. The messages of one stream are handled one after another. Up to
 * `concurrency` streams are handled at the same time.
 *
 * The messages are begun in the order of the page, as far as their streams allow. The position moves up
 * to the first message that is not handled. After a crash, the messages after that one are handled again,
 * even if they were handled before. So there should be few of them.
 *
 * @returns How many messages were handled, skipped or parked.
 */
export async function handlePage(run: PageRun, placed: readonly Placed[]): Promise<number> {
  const { consumer, kept, stopping, givingUp, moved, stop, store, deadline } = run;
  /** The streams that are taken by a worker, each with the indices of its messages. */
  const lanes = new Map<string, number[]>();
  let next = 0;
  const isHandled: boolean[] = [];
  let firstUnhandled = 0;
  let count = 0;
  const failures: unknown[] = [];

  /** Takes the next message of a stream that no worker has; undefined if all messages are taken. */
  function takeLane(): number[] | undefined {
    while (next < placed.length) {
      const at = next++;
      const name = laneNameOf(placed[at]!);
      const taken = lanes.get(name);
      // The worker that has the lane still goes through this array, and reaches the message.
      if (taken) taken.push(at);
      else {
        const lane = [at];
        lanes.set(name, lane);
        return lane;
      }
    }
    return undefined;
  }

  async function work(): Promise<void> {
    for (let lane = takeLane(); lane; lane = takeLane()) {
      for (const at of lane) {
        if (isStoreDue(kept)) await store();
        if (Date.now() >= deadline) stop();
        if (stopping.aborted || failures.length > 0) return;
        const handled = handleMessage(run, placed[at]!);
        const outcome = handled instanceof Promise ? await handled : handled;
        if (outcome === "ended" || givingUp.aborted || moved.aborted) return;
        count++;
        isHandled[at] = true;
        while (isHandled[firstUnhandled]) passTo(kept, placed[firstUnhandled++]!.place);
      }
      lanes.delete(laneNameOf(placed[lane[0]!]!));
    }
  }

  const workers = Array.from(
    { length: Math.min(consumer.concurrency, placed.length) },
    () =>
      work().catch((error) => {
        failures.push(error);
        // The other workers finish the messages that they have in hand. The run goes on after the
        // store went back.
        if (!(error instanceof StoreWentBackError)) stop();
      }),
  );
  await abortable(Promise.all(workers), givingUp).catch(() => {});
  if (failures.length > 0) throw failures[0];
  return count;
}

/** The stream whose messages are handled in order: of an aggregate, the partition. */
function laneNameOf({ message }: Placed): string {
  return (message as AggregatedMessage).reference?.streamName ?? message.streamName;
}
