import { partitioned, type PartitionOf, partitions } from "@messagedb/client";
import postgres from "postgres";
import type { Environment, Settings } from "./environment.ts";

/**
 * A store in the databases of `partitions`, or in the one of them that all categories are in. Categories that are
 * used one after the other are in different partitions.
 */
export function connect({ bareUrl, partitions: urls = [], onePartition }: Settings): Environment {
  const open = (url: string) => postgres(url, { max: 5, onnotice: () => {} });
  const handles = urls.map(open);
  const bare = open(bareUrl);
  const numbers = new Map<string, number>();
  const partitionOf: PartitionOf = (category, count) => {
    if (!numbers.has(category)) numbers.set(category, numbers.size % count);
    return onePartition ?? numbers.get(category)!;
  };
  const sql = partitioned(handles, { partitionOf });
  const one = partitions(sql)[onePartition ?? handles.length];
  return {
    sql,
    bare: partitioned([bare]),
    ...(one && {
      begin: async (work) => await one.begin(work) as Awaited<ReturnType<typeof work>>,
    }),
    close: async () => {
      await Promise.all([...handles, bare].map((it) => it.end()));
    },
  };
}
