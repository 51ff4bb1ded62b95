import { askRule } from "../http/gateway/_authorize.ts";
import { UNAVAILABLE } from "../http/gateway/_problem.ts";
import { VERSION } from "../http/gateway/_version.ts";
import { checkMembers } from "../names/_check.ts";
import { readFacts } from "../operate/_read_facts.ts";
import type { ChangeName, OperationName } from "./_api.ts";
import { type AnyOperation, nowhere, type OperationOf, type Operations } from "./_operation.ts";
import { CHANGES } from "./_changes.ts";
import { checkGiven } from "./_refusals.ts";
import { SEARCHES } from "./_searches.ts";
import { SHARED_LOOKS } from "./_shared_looks.ts";
import { namesOf, type Studio } from "./_studio.ts";

const OPERATIONS: Operations<OperationName> = {
  open: {
    writes: false,
    members: {},
    place: nowhere,
    run: async (studio, _, __, request) => ({
      version: VERSION,
      readOnly: studio.readOnly,
      may: await changesAllowed(studio, request),
      entities: [...studio.entities.keys()],
      consumers: studio.consumers.map(namesOf),
      schema: studio.schema,
      partitions: studio.partitions,
      // What the studio is can be told without the store.
      databases: await readDatabases(studio, request).catch(() => []),
    }),
  },
  ...SHARED_LOOKS,
  ...SEARCHES,
  ...CHANGES,
};

/** The changes that whoever asks may make: `authorize` is asked about each, without names. */
async function changesAllowed(studio: Studio, request: Request): Promise<ChangeName[]> {
  if (studio.readOnly) return [];
  const names = Object.keys(CHANGES) as ChangeName[];
  const answers = await Promise.all(
    names.map((operation) => askRule(studio, request, { operation, writes: true })),
  );
  return names.filter((_, at) => answers[at] === true);
}

/** The operation of a name; undefined if there is none. */
export function studioOperation(name: string): AnyOperation | undefined {
  if (!Object.hasOwn(OPERATIONS, name)) return undefined;
  const { writes, again, members, place, run } = OPERATIONS[name as OperationName] as OperationOf<
    OperationName
  >;
  return {
    writes,
    again,
    place: (given) =>
      checkGiven(() => {
        checkMembers("arguments", given as never, members as never);
        return place(given as never);
      }),
    run: (studio, given, ...rest) => run(studio, given as never, ...rest),
  };
}

/** The names of the databases. They stay what they are, once all partitions have answered. */
async function readDatabases(
  { ask, share, partitions }: Studio,
  request: Request,
): Promise<readonly string[]> {
  const found = await share({
    key: "databases",
    goodFor: Infinity,
    statements: partitions,
    ask: async () => {
      const answers = await ask.each(readFacts, request);
      if (answers.length < partitions) throw UNAVAILABLE;
      return answers;
    },
  });
  return found.map(({ answer }) => answer.database);
}
