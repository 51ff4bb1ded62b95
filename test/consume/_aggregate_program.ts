import process from "node:process";
import postgres from "postgres";
import { aggregate } from "../../mod.ts";

/** Keeps an aggregate until it is killed, and says when it has something to refer to. */
const [url, name, from] = process.argv.slice(2);
await aggregate(postgres(url!, { max: 2, onnotice: () => {} }), {
  name: name!,
  from: JSON.parse(from!),
  partition: ({ streamName }) => {
    process.stdout.write("at work\n");
    return streamName;
  },
  partitions: 4,
  batchSize: 7,
  pollInterval: 20,
});
