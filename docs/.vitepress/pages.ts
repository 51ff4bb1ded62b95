/** Which pages the site has, in which order, under which titles: those of their first headings. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** A group of the sidebar. */
interface Group {
  readonly text: string;
  readonly folder: string;
  /** The pages in their order. In the last group of a folder, those that are not named follow. */
  readonly names: readonly string[];
}

export interface Page {
  /** From docs/: `guides/writing.md`. */
  readonly path: string;
  readonly title: string;
  /** The first paragraph. */
  readonly description: string;
  /** The text in Markdown. */
  readonly text: string;
}

const GROUPS: readonly Group[] = [
  {
    text: "Start",
    folder: "start",
    names: words("node deno bun cloudflare-workers edge-functions nextjs browser tests"),
  },
  { text: "Tutorial", folder: "tutorial", names: ["index"] },
  {
    text: "Guides, by task",
    folder: "guides",
    names: words(
      `expected-versions idempotent-commands read-models rebuild-and-switch sagas changed-events
      erasure live-pages imports-and-backfills testing multi-tenancy from-crud`,
    ),
  },
  {
    text: "Guides, by part",
    folder: "guides",
    names: words(
      `install drivers writing reading subscriptions consumers aggregates typed-messages entities
      cause-and-effect transactions names-and-data fetch gateway`,
    ),
  },
  {
    text: "Operate",
    folder: "operate",
    names: words(
      `deploy roles poolers failover replicas kubernetes monitoring telemetry studio consumer-behind parked-messages
       growth more-than-one-server partitions tenants moving-a-database`,
    ),
  },
  {
    text: "Concepts",
    folder: "concepts",
    names: words("streams order delivery locks glossary"),
  },
  {
    text: "Reference",
    folder: "reference",
    names: words("errors retries gateway-api statements compatibility"),
  },
  {
    text: "Coming from",
    folder: "from",
    names: words("message-db-py depeche-db esdbclient eventide emmett"),
  },
];

/** The groups with their pages. */
export function readGroups(): { readonly text: string; readonly pages: readonly Page[] }[] {
  return GROUPS.map(({ text, folder, names }, at) => {
    const isLast = !GROUPS.slice(at + 1).some((group) => group.folder === folder);
    const named = GROUPS.flatMap((group) => group.folder === folder ? group.names : []);
    const others = isLast ? namesIn(folder).filter((name) => !named.includes(name)) : [];
    const paths = [...names, ...others].map((name) => `${folder}/${name}.md`);
    return { text, pages: paths.filter((path) => existsSync(pathOf(path))).map(readPage) };
  });
}

/** Pages beside the folders. */
export function readOthers(): Page[] {
  return namesIn(".").filter((name) => name !== "index").map((name) => readPage(`${name}.md`));
}

export function readPage(path: string): Page {
  const text = readFileSync(pathOf(path), "utf8");
  const [, title, description] = /^# (.+)\n+([^\n#`|].*(?:\n.+)*)/m.exec(text) ?? [];
  if (!title || !description) {
    throw new Error(`docs/${path} does not begin with a title and a paragraph`);
  }
  return { path, title, description: plain(description), text };
}

/** The words of a paragraph, without links and emphasis. */
function plain(markdown: string): string {
  return markdown.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1").replaceAll(/[`*]/g, "").replaceAll(
    /\s+/g,
    " ",
  );
}

function namesIn(folder: string): string[] {
  if (!existsSync(pathOf(folder))) return [];
  return readdirSync(pathOf(folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => name.slice(0, -".md".length))
    .sort();
}

function words(text: string): string[] {
  return text.split(/\s+/);
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(`../${file}`, import.meta.url));
}
