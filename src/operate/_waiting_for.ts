import type { ConsumerStatus } from "./consumers.ts";

/** How much waits for a consumer, and how long, in milliseconds. */
export interface ConsumerLag {
  readonly behind: number;
  readonly age: number;
}

/** What waits for a consumer. An aggregate that is idle has passed what is after its stored position. */
export function waitingFor({ health, behind, oldestAge }: ConsumerStatus): ConsumerLag {
  return health === "idle" ? { behind: 0, age: 0 } : { behind, age: oldestAge ?? 0 };
}
