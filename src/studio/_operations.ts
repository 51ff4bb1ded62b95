import { askStores } from "../handle/_store_for.ts";
import { VERSION } from "../http/gateway/_version.ts";
import { checkMembers } from "../names/_check.ts";
import { readFacts } from "../operate/_read_facts.ts";
import type { OperationName } from "./_api.ts";
import { type AnyOperation, nowhere, type OperationOf, type Operations } from "./_operation.ts";
import { CHANGES } from "./_changes.ts";
import { SEARCHES } from "./_searches.ts";
import { SHARED_LOOKS } from "./_shared_looks.ts";
import { namesOf, type Studio } from "./_studio.ts";

const OPERATIONS: Operations<OperationName> = {
  open: {
    writes: false,
    members: {},
    place: nowhere,
    run: async ({ readOnly, entities, consumers, schema, partitions, ...studio }) => ({
      version: VERSION,
      readOnly,
      entities: [...entities.keys()],
      consumers: consumers.map(namesOf),
      schema,
      partitions,
      // What the studio is can be told without the store.
      databases: await readDatabases(studio, partitions).catch(() => []),
    }),
  },
  ...SHARED_LOOKS,
  ...SEARCHES,
  ...CHANGES,
};

/** The operation of a name; undefined if there is none. */
export function studioOperation(name: string): AnyOperation | undefined {
  if (!Object.hasOwn(OPERATIONS, name)) return undefined;
  const { writes, members, place, run } = OPERATIONS[name as OperationName] as OperationOf<
    OperationName
  >;
  return {
    writes,
    place: (given) => {
      checkMembers("arguments", given as never, members as never);
      return place(given as never);
    },
    run: (studio, given, signal) => run(studio, given as never, signal),
  };
}

/** The names of the databases. They stay what they are. */
function readDatabases(
  { sql, share }: Pick<Studio, "sql" | "share">,
  statements: number,
): Promise<readonly string[]> {
  return share({
    key: "databases",
    goodFor: Infinity,
    statements,
    ask: () => askStores(sql, async (store) => (await readFacts(store)).database),
  });
}
