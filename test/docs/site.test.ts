/** Builds the site of the documentation, and looks at it as a reader does: by search, by links, on a phone. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join, posix } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { chromium as playwright, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { miniSearch } from "../../docs/.vitepress/search.ts";
import { markdownFiles } from "../_blocks.ts";
import { pathOf } from "../_path_of.ts";
import { chromium } from "../_browser.ts";

const BASE = "/messagedb-client/";
const site = mkdtempSync(join(tmpdir(), "messagedb-client-site-"));
afterAll(() => rmSync(site, { recursive: true }));

// A dead link fails the build.
beforeAll(async () => {
  await promisify(execFile)(
    pathOf("node_modules/.bin/tsx"),
    [pathOf("docs/.vitepress/run.ts"), "build", "--outDir", site],
    { env: { ...process.env, NODE_ENV: "production" }, maxBuffer: 100_000_000 },
  ).catch(({ stdout, stderr }) => {
    throw new Error(`The site was not built:\n${stdout}\n${stderr}`);
  });
});

/** The pages that people wrote, as the site names them: "guides/writing", "tutorial/". */
const written = markdownFiles("docs").map((file) =>
  file.slice("docs/".length).replace(/(^|\/)index\.md$/, "$1").replace(/\.md$/, "")
);

function htmlFiles(): string[] {
  return readdirSync(site, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".html") && file !== "404.html");
}

/** The file of the site that answers a path. */
function fileOf(path: string): string | undefined {
  return [path, `${path}.html`, posix.join(path, "index.html")]
    .map((file) => join(site, file))
    .find((file) => extname(file) !== "" && existsSync(file));
}

test("every page is there", () => {
  expect(written.length).toBeGreaterThan(1);
  expect(written.filter((page) => fileOf(page) === undefined)).toEqual([]);
  expect(fileOf("reference/api/client/functions/write")).toBeDefined();
  expect(fileOf("reference/api/operate/functions/consumers")).toBeDefined();
});

test("every link leads to a page, and to a heading of it", () => {
  const texts = new Map<string, string>();
  const textOf = (file: string): string => {
    if (!texts.has(file)) texts.set(file, readFileSync(file, "utf8"));
    return texts.get(file)!;
  };
  const dead = htmlFiles().flatMap((file) => {
    const [, content = ""] = textOf(join(site, file)).split("<main");
    return [...content.matchAll(/ href="([^"]+)"/g)]
      .map(([, href]) => new URL(href!, `http://site${BASE}${file}`))
      .filter(({ host }) => host === "site")
      .filter(({ pathname, hash }) => {
        const target = fileOf(decodeURIComponent(pathname).slice(BASE.length));
        if (target === undefined) return true;
        return hash !== "" &&
          !textOf(target).includes(`id="${decodeURIComponent(hash.slice(1))}"`);
      })
      .map(({ pathname, hash }) => `${file}: ${pathname}${hash}`);
  });
  expect(dead).toEqual([]);
});

/** What people search for, and the pages of which one has to be among the first. */
const SEARCHES: Readonly<Record<string, readonly string[]>> = {
  "dead letter": ["operate/parked-messages", "guides/consumers"],
  "poison": ["operate/parked-messages", "guides/consumers"],
  "lag": ["operate/monitoring", "operate/consumer-behind"],
  "how far behind is my consumer": ["operate/consumer-behind", "operate/monitoring"],
  "offset": ["concepts/glossary", "concepts/streams", "guides/consumers"],
  "checkpoint": ["concepts/glossary", "guides/consumers", "guides/subscriptions"],
  "gdpr": ["guides/erasure"],
  "delete a user's data": ["guides/erasure"],
  "parse a message": ["guides/typed-messages"],
  "right to be forgotten": ["guides/erasure"],
  "crypto-shredding": ["guides/erasure"],
  "rebuild": ["guides/rebuild-and-switch"],
  "replay": ["guides/rebuild-and-switch", "operate/parked-messages"],
  "backup": ["operate/backup"],
  "kubernetes": ["operate/kubernetes"],
  "liveness": ["operate/kubernetes", "operate/monitoring"],
  "sigterm": ["operate/kubernetes", "operate/deploy", "guides/consumers"],
  "tracing": ["operate/monitoring", "guides/cause-and-effect", "guides/consumers"],
  "opentelemetry": ["operate/monitoring", "guides/cause-and-effect", "guides/consumers"],
  "metrics": ["operate/monitoring"],
  "alert": ["operate/monitoring", "operate/consumer-behind"],
  "upcasting": ["guides/changed-events", "guides/typed-messages"],
  "schema evolution": ["guides/changed-events"],
  "outbox": ["guides/transactions", "guides/from-crud", "concepts/glossary"],
  "saga": ["guides/sagas"],
  "process manager": ["guides/sagas"],
  "exactly once": ["concepts/delivery", "guides/read-models"],
  "at least once": ["concepts/delivery"],
  "idempotency": ["guides/idempotent-commands"],
  "idempotency key": ["guides/idempotent-commands"],
  "command comes twice": ["guides/idempotent-commands"],
  "webhook": ["guides/idempotent-commands"],
  "unit test": ["guides/testing", "start/tests"],
  "given when then": ["guides/testing"],
  "test without database": ["guides/testing", "start/tests"],
  "bdd": ["guides/testing", "concepts/glossary"],
  "optimistic concurrency": ["guides/expected-versions"],
  "catch-up subscription": ["guides/subscriptions"],
  "persistent subscription": ["guides/consumers", "from/esdbclient"],
  "consumer group": ["guides/consumers"],
  "partition": ["operate/growth", "operate/partitions", "concepts/glossary", "from/depeche-db"],
  "pgbouncer": ["operate/poolers"],
  "hyperdrive": ["operate/poolers", "start/cloudflare-workers"],
  "supabase": ["operate/poolers", "guides/drivers", "guides/install", "operate/roles"],
  "neon": ["operate/poolers", "guides/drivers"],
  "multi-tenant": ["guides/multi-tenancy"],
  "tenant": ["guides/multi-tenancy"],
  "retention": ["operate/growth"],
  "prune": ["operate/growth"],
  "health check": ["operate/monitoring", "operate/kubernetes"],
  "sse": ["guides/live-pages", "guides/gateway"],
  "cqrs": ["guides/read-models"],
  "projection": ["guides/read-models", "guides/entities"],
  "read model": ["guides/read-models"],
  "snapshot": ["guides/entities"],
  "cors": ["guides/gateway", "reference/gateway-api"],
  "deno": ["start/deno"],
  "bun": ["start/bun"],
  "next.js": ["start/nextjs"],
  "vite": ["start/browser"],
  "vitest": ["start/tests", "guides/testing"],
  "cron": ["guides/consumers", "start/cloudflare-workers"],
  "serverless": ["guides/consumers"],
  "failover": ["operate/failover"],
  "replica": ["operate/replicas"],
  "backfill": ["guides/imports-and-backfills"],
  "migration": ["operate/deploy", "guides/from-crud", "guides/imports-and-backfills"],
  "move database": ["operate/moving-a-database"],
  "sharding": ["operate/partitions", "operate/more-than-one-server", "concepts/glossary"],
  "read your writes": ["guides/consumers", "guides/read-models"],
  "kafka": ["concepts/glossary"],
  "eventstoredb": ["from/esdbclient", "concepts/glossary"],
  "wrong expected version": ["guides/expected-versions", "reference/errors"],
  "permission denied": ["operate/roles", "reference/errors", "guides/install"],
  "group commit": ["guides/writing"],
  "browser": ["start/browser"],
  "how to install": ["guides/install"],
};

interface Hit {
  readonly id: string;
}

interface Index {
  search(query: string): readonly Hit[];
}

/** The index as the browser loads it. */
async function loadIndex(): Promise<Index> {
  const chunks = join(site, "assets/chunks");
  const name = readdirSync(chunks).find((file) => file.startsWith("@localSearchIndexroot"))!;
  // The nearest package.json does not say that it is a module.
  const module = join(site, "search-index.mjs");
  copyFileSync(join(chunks, name), module);
  const { default: json } = await import(/* @vite-ignore */ pathToFileURL(module).href);
  const MiniSearch = createRequire(pathOf("docs/package.json"))("minisearch");
  return MiniSearch.loadJSON(json, {
    fields: ["title", "titles", "text"],
    storeFields: ["title", "titles"],
    searchOptions: miniSearch.searchOptions,
    ...miniSearch.options,
  });
}

test("search finds what people call it", async () => {
  const index = await loadIndex();
  const missed = Object.entries(SEARCHES).flatMap(([words, pages]) => {
    const found = index.search(words).map(({ id }) => id.slice(BASE.length).split("#")[0]!);
    const first = [...new Set(found)].slice(0, 5);
    return first.some((page) => pages.includes(page)) ? [] : [`${words}: ${first.join(", ")}`];
  });
  expect(missed).toEqual([]);
});

test("llms.txt lists every page, and llms-full.txt has its text", () => {
  const list = readFileSync(join(site, "llms.txt"), "utf8");
  const full = readFileSync(join(site, "llms-full.txt"), "utf8");
  const links = [...list.matchAll(/\]\(https:\/\/messagedb-client\.github\.io(\S+)\)/g)]
    .map(([, path]) => path!.slice(BASE.length));
  const pages = markdownFiles("docs").map((file) => file.slice("docs/".length));
  expect(links).toEqual(expect.arrayContaining(pages.filter((page) => page !== "index.md")));
  expect(links.filter((path) => !existsSync(join(site, path)))).toEqual([]);
  for (const page of pages) {
    const [heading] = readFileSync(pathOf(`docs/${page}`), "utf8").split("\n");
    expect(full).toContain(`${heading}\n`);
  }
  expect(full).not.toMatch(/\]\(\.{1,2}\//);
});

if (!chromium) console.log("Skipped: the site in a browser, since there is no Chromium");

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

describe.skipIf(!chromium)("in Chromium", () => {
  let origin: string;
  const closing: (() => unknown)[] = [];

  beforeAll(async () => {
    const server = createServer(({ url }, response) => {
      const path = decodeURIComponent(new URL(url!, "http://site").pathname).slice(BASE.length);
      const file = fileOf(path);
      if (file === undefined) return void response.writeHead(404).end();
      response.setHeader("content-type", TYPES[extname(file)] ?? "text/javascript");
      response.end(readFileSync(file));
    }).listen(0, "127.0.0.1");
    closing.push(() => server.close());
    await once(server, "listening");
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}${BASE}`;
  });
  afterAll(() => Promise.all(closing.map((close) => close())));

  async function open(colorScheme: "light" | "dark"): Promise<Page> {
    const browser = await playwright.launch({ executablePath: chromium! });
    closing.push(() => browser.close());
    return await browser.newPage({ viewport: { width: 390, height: 844 }, colorScheme });
  }

  /** Visits pages as they arrive, before their scripts make an application of them. */
  async function visit<T>(
    page: Page,
    paths: readonly string[],
    look: () => T,
  ): Promise<(readonly [string, T])[]> {
    await page.route("**/*.js", (route) => route.abort());
    const seen: (readonly [string, T])[] = [];
    for (const path of paths) {
      await page.goto(origin + path);
      seen.push([path, await page.evaluate(look)]);
    }
    return seen;
  }

  /** What is seen of the pages in each scheme: the tests look at the same visits. */
  const looks = new Map<string, Promise<(readonly [string, Look])[]>>();

  async function lookAtAll(scheme: "light" | "dark"): Promise<(readonly [string, Look])[]> {
    // The pages of the API are made alike: one in ten stands for them.
    const api = htmlFiles()
      .filter((file) => file.startsWith("reference/api/"))
      .map((file) => file.replace(/\.html$/, ""))
      .filter((_, at) => at % 10 === 0);
    const paths = [...written, ...scheme === "light" ? api : [], "reference/api/client/"];
    const look = looks.get(scheme) ?? visit(await open(scheme), paths, lookAtPage);
    looks.set(scheme, look);
    return await look;
  }

  test("no page is wider than a phone", async () => {
    const pages = await lookAtAll("light");
    expect(pages.filter(([, { width }]) => width > 390)).toEqual([]);
  });

  test.each(["light", "dark"] as const)("text and code can be read: %s", async (scheme) => {
    const pages = await lookAtAll(scheme);
    expect(pages.filter(([, { ratio }]) => ratio < 4.5)).toEqual([]);
  });

  test("the search box finds a page and opens it", async () => {
    const page = await open("dark");
    await page.goto(`${origin}start/node`);
    await page.getByRole("button", { name: "Search" }).click();
    await page.locator(".search-input").fill("tutorial");
    await page.locator(".result").first().click();
    await page.waitForURL(/\/tutorial\//);
  });
});

interface Look {
  readonly width: number;
  /** The contrast of the text whose colour is nearest to what is behind it, as WCAG counts it. */
  readonly ratio: number;
  readonly text: string;
}

/** Runs in the page. */
function lookAtPage(): Look {
  const parse = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (color: readonly number[]) => {
    const [r, g, b] = color.slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  /** What is behind an element, with what shines through. */
  const behind = (element: Element | null): number[] => {
    if (element === null) return [255, 255, 255];
    const [r = 0, g = 0, b = 0, alpha = 1] = parse(getComputedStyle(element).backgroundColor);
    if (alpha === 1) return [r, g, b];
    const below = behind(element.parentElement);
    return [r, g, b].map((value, at) => value * alpha + below[at]! * (1 - alpha));
  };
  let least = { ratio: 21, text: "" };
  const walker = document.createTreeWalker(document.querySelector(".vp-doc")!, 4);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement!;
    const text = node.textContent!.trim();
    if (text === "" || element.matches(".header-anchor, .lang, .copy")) continue;
    const [front, back] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    const ratio = (Math.max(front!, back!) + 0.05) / (Math.min(front!, back!) + 0.05);
    if (ratio < least.ratio) least = { ratio: Math.round(ratio * 100) / 100, text };
  }
  return { width: document.documentElement.scrollWidth, ...least };
}
