/**
 * What the page asks again and again. Each second, it asks for one thing at most: what has waited longest. While nobody
 * sees the page, it asks for nothing.
 */
interface Task {
  readonly interval: number;
  readonly run: () => Promise<unknown>;
  due: number;
  isRunning: boolean;
}

const TICK = 1000;
const tasks = new Set<Task>();
let timer: ReturnType<typeof setInterval> | undefined;

/** What is asked again and again, until it is ended. */
export interface Repeated {
  /** Has it run in its next turn, and not only when its interval is over. */
  readonly soon: () => void;
  readonly end: () => void;
}

/** Runs the work every `interval` milliseconds, or less often; with `Infinity`, only when it is to run soon. */
export function every(interval: number, run: () => Promise<unknown>): Repeated {
  const task: Task = { interval, run, due: Date.now() + interval, isRunning: false };
  tasks.add(task);
  timer ??= setInterval(tick, TICK);
  return {
    soon: () => task.due = Math.min(task.due, Date.now()),
    end: () => void tasks.delete(task),
  };
}

/** Has all run in their next turns that run again by themselves: somebody has changed what they show. */
export function allSoon(): void {
  for (const task of tasks) if (task.interval < Infinity) task.due = Math.min(task.due, Date.now());
}

function tick(): void {
  if (document.hidden) return;
  const now = Date.now();
  const due = [...tasks].filter((it) => it.due <= now + TICK / 2 && !it.isRunning);
  const [next] = due.sort((a, b) => a.due - b.due);
  if (next !== undefined) void runTask(next, now);
}

async function runTask(task: Task, now: number): Promise<void> {
  task.isRunning = true;
  // What is to run soon while it runs is not forgotten.
  task.due = now + task.interval;
  try {
    await task.run();
  } catch {
    // Who runs the task shows its failure.
  } finally {
    task.isRunning = false;
  }
}
