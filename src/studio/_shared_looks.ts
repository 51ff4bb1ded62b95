import { askStores } from "../handle/_store_for.ts";
import { invalid } from "../lib/invalid.ts";
import { checkCategory, checkInteger } from "../names/_check.ts";
import { activity } from "../operate/activity.ts";
import { consumers } from "../operate/consumers.ts";
import { diagnose } from "../operate/diagnose.ts";
import { findMessages } from "../operate/find_messages.ts";
import type { FoundMessage } from "../operate/found_message.ts";
import { messageTypes } from "../operate/message_types.ts";
import { storeStatus } from "../operate/store_status.ts";
import type { Sql } from "../types.ts";
import { timeIn } from "./_arguments.ts";
import { type ArgumentsOf, nowhere, type Operations } from "./_operation.ts";

/** What all pages see alike: it is read once for all, however many pages are open. */
export const SHARED_LOOKS: Operations<
  | "pulse"
  | "activity"
  | "storeStatus"
  | "consumers"
  | "diagnose"
  | "messageTypes"
> = {
  pulse: {
    writes: false,
    members: {},
    place: nowhere,
    run: async ({ sql, share, partitions }) => {
      const heads = await share({
        key: "pulse",
        goodFor: 1000 * partitions,
        statements: partitions,
        ask: () => askStores(sql, (store) => readLast(store)),
      });
      const time = heads.reduce((last, it) => Math.max(last, Number(it?.time ?? 0)), 0);
      const moved = heads.reduce((sum, it) => sum + (it?.globalPosition ?? 0), 0);
      return {
        lastGlobalPosition: partitions > 1 ? null : moved,
        moved,
        time: time === 0 ? null : new Date(time),
        serverTime: new Date(),
      };
    },
  },
  activity: {
    writes: false,
    members: { since: true, until: true, buckets: true },
    place: (given) => {
      const { since, until, buckets = 60 } = given;
      if (timeIn("since", since) === undefined) throw invalid("since", since, "an ISO time");
      timeIn("until", until);
      checkInteger("buckets", buckets, 1, 120);
      wholeSpans(given);
      return {};
    },
    run: ({ sql, share, partitions }, given) => {
      const { since, until, buckets } = wholeSpans(given);
      return share({
        key: `activity ${Number(since)} ${Number(until)} ${buckets}`,
        goodFor: 5000,
        statements: partitions,
        ask: async () => ({ buckets: await activity(sql, { since, until, buckets }) }),
      });
    },
  },
  storeStatus: {
    writes: false,
    members: {},
    place: nowhere,
    run: ({ sql, share, partitions }) =>
      share({
        key: "storeStatus",
        goodFor: 5000,
        statements: partitions,
        ask: async () => ({
          stores: await askStores(sql, (store) => storeStatus(store)),
          at: new Date(),
        }),
      }),
  },
  consumers: {
    writes: false,
    members: {},
    place: nowhere,
    run: ({ sql, share, partitions }) =>
      share({
        key: "consumers",
        goodFor: 5000,
        statements: partitions,
        ask: async () => ({ consumers: await consumers(sql), at: new Date() }),
      }),
  },
  diagnose: {
    writes: false,
    members: {},
    place: nowhere,
    run: ({ sql, share, partitions }) =>
      share({
        key: "diagnose",
        goodFor: 30_000,
        statements: partitions,
        ask: async () => {
          const found = await askStores(sql, (store) => diagnose(store));
          return found.flatMap((findings, number) =>
            findings.map((it) => ({ ...it, partition: partitions > 1 ? number : null }))
          );
        },
      }),
  },
  messageTypes: {
    writes: false,
    members: { category: true },
    place: ({ category }) => {
      if (category !== undefined) checkCategory("category", category);
      return { category };
    },
    run: ({ sql, share }, { category }) =>
      share({
        key: `messageTypes ${category ?? ""}`,
        goodFor: 10_000,
        statements: 1,
        ask: () => messageTypes(sql, { category, scanLimit: 50_000 }),
      }),
  },
};

/** The last message of a store, without its texts. */
async function readLast(store: Sql): Promise<FoundMessage | undefined> {
  const options = { direction: "backward", limit: 1, textLength: 0 } as const;
  return (await findMessages(store, "$all", options)).messages[0];
}

/**
 * The spans of time that are asked for, from the beginning of a span on. So pages that ask a moment later ask for the
 * same.
 */
function wholeSpans(
  { since, until, buckets = 60 }: ArgumentsOf<"activity">,
): { readonly since: Date; readonly until: Date; readonly buckets: number } {
  const [from, to] = [Date.parse(since), until === undefined ? Date.now() : Date.parse(until)];
  if (to <= from) throw invalid("until", until, "after since", RangeError);
  const width = Math.max(1, Math.ceil((to - from) / buckets / 1000)) * 1000;
  const first = Math.floor(from / width) * width;
  const count = Math.ceil((to - first) / width);
  return { since: new Date(first), until: new Date(first + count * width), buckets: count };
}
