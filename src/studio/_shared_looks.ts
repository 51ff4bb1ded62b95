import { invalid } from "../lib/invalid.ts";
import { checkCategory, checkInteger } from "../names/_check.ts";
import { activity } from "../operate/activity.ts";
import { consumers } from "../operate/consumers.ts";
import { examine } from "../operate/_examine.ts";
import { findMessages } from "../operate/find_messages.ts";
import type { FoundMessage } from "../operate/found_message.ts";
import { messageTypes } from "../operate/message_types.ts";
import type { StoreStatus } from "../operate/status.ts";
import { storeStatus } from "../operate/store_status.ts";
import type { Sql } from "../types.ts";
import { timeIn } from "./_arguments.ts";
import { FIRST_TIME, LAST_TIME } from "./_iso_time.ts";
import { silenceText } from "./_ask_partitions.ts";
import { type ArgumentsOf, nowhere, type Operations } from "./_operation.ts";
import type { Studio } from "./_studio.ts";

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
    run: async ({ ask, share, partitions }, _, __, request) => {
      const found = await share({
        key: "pulse",
        goodFor: 1000 * partitions,
        statements: partitions,
        ask: () => ask.each(readLast, request),
      });
      const heads = Array<number | null>(partitions).fill(null);
      for (const { number, answer } of found) heads[number ?? 0] = answer?.globalPosition ?? 0;
      const time = Math.max(0, ...found.map(({ answer }) => Number(answer?.time ?? 0)));
      const silent = ask.silent();
      return {
        heads,
        time: time === 0 ? null : new Date(time),
        serverTime: new Date(),
        silence: silent.length === 0 ? null : silenceText(silent, partitions),
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
    run: ({ ask, share, partitions }, given, _, request) => {
      const { since, until, buckets } = wholeSpans(given);
      return share({
        key: `activity ${Number(since)} ${Number(until)} ${buckets}`,
        goodFor: 5000,
        statements: partitions,
        ask: async () => {
          const found = await ask.each(
            (store) => activity(store, { since, until, buckets }),
            request,
          );
          const [first] = found;
          return {
            buckets: first!.answer.map((bucket, at) => ({
              ...bucket,
              count: found.reduce((sum, { answer }) => sum + answer[at]!.count, 0),
            })),
          };
        },
      });
    },
  },
  storeStatus: {
    writes: false,
    members: {},
    place: nowhere,
    run: (studio, _, __, request) => lookAtStores(studio, request),
  },
  consumers: {
    writes: false,
    members: {},
    place: nowhere,
    run: ({ ask, share, partitions }, _, __, request) =>
      share({
        key: "consumers",
        goodFor: 5000,
        statements: partitions,
        ask: async () => {
          const found = await ask.each((store) => consumers(store), request);
          return {
            consumers: found.flatMap(({ number, answer }) =>
              answer.map((it) => number === null ? it : { ...it, partition: number })
            ),
            at: new Date(),
          };
        },
      }),
  },
  diagnose: {
    writes: false,
    members: {},
    place: nowhere,
    run: (studio, _, __, request) =>
      studio.share({
        key: "diagnose",
        goodFor: 30_000,
        statements: studio.partitions,
        ask: async () => {
          // A failure is told by what is found where it failed.
          const { stores } = await lookAtStores(studio, request).catch(() => ({ stores: [] }));
          const found = await studio.ask.each((store) => {
            const place = studio.stores.indexOf(store);
            const status = stores.find(({ number }) => (number ?? 0) === place);
            return examine(store, async () => status ?? await storeStatus(store));
          }, request);
          return found.flatMap(({ number, answer }) =>
            answer.map((it) => ({ ...it, partition: number }))
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

interface StoresLook {
  readonly stores: readonly (StoreStatus & { readonly number: number | null })[];
  readonly at: Date;
}

function lookAtStores(
  { ask, share, partitions }: Studio,
  request: Request,
): Promise<StoresLook> {
  return share({
    key: "storeStatus",
    goodFor: 5000,
    statements: partitions,
    ask: async () => {
      const found = await ask.each(storeStatus, request);
      return {
        stores: found.map(({ number, answer }) => ({ ...answer, number })),
        at: new Date(),
      };
    },
  });
}

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
  return {
    since: new Date(Math.max(first, FIRST_TIME)),
    until: new Date(Math.min(first + count * width, LAST_TIME)),
    buckets: count,
  };
}
