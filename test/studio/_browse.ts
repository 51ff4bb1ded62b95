import { createAdaptorServer } from "@hono/node-server";
import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium as playwright,
  type Page,
} from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { pathOf } from "../_path_of.ts";
import { chromium } from "../_browser.ts";
import { PATIENCE } from "../_until.ts";

const FLAGS: readonly string[] = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts a Chromium of its own, with a folder of its own. */
export function startBrowser(): Promise<Browser> {
  return playwright.launch({ executablePath: chromium!, args: [...FLAGS] });
}

/** Serves a handler until it is stopped. */
export async function serveStudio(
  handle: (request: Request) => Promise<Response>,
): Promise<{ readonly origin: string; readonly stop: () => Promise<void> }> {
  const server = createAdaptorServer({ fetch: handle }) as Server;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Options of a browser's context, and where the studio is, if not where the others are. */
export type PageOptions = BrowserContextOptions & { readonly origin?: string };

/** A context of a browser, which is closed with the test. What its routes are at then is given up. */
export async function newContext(
  browser: Browser,
  options?: BrowserContextOptions,
): Promise<BrowserContext> {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  onTestFinished(async () => {
    for (const page of context.pages()) await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  });
  return context;
}

/** Opens a page of a studio, which is closed with the test. */
export async function openStudioPage(
  browser: Browser,
  studio: string,
  path: string,
  { origin = studio, ...options }: PageOptions = {},
): Promise<{ readonly page: Page; readonly context: BrowserContext; readonly trouble: string[] }> {
  const context = await newContext(browser, {
    viewport: { width: 1280, height: 800 },
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  const page = await context.newPage();
  const trouble = troubleOf(page);
  await page.goto(origin + path);
  return { page, context, trouble };
}

/** A studio, and a browser that looks at it, for the tests of a file. */
export interface StudioInBrowser {
  /** Where the studio is served; only within a test. */
  readonly origin: string;
  /** Only within a test. */
  readonly browser: Browser;
  /** Opens a page of the studio, which is closed with the test. */
  readonly open: (path: string, options?: PageOptions) => ReturnType<typeof openStudioPage>;
}

type StudioHandler = Parameters<typeof serveStudio>[0];

/**
 * Serves a studio before the tests, starts a browser for it, and ends both after them.
 *
 * @param make Fills the store, and makes the studio.
 * @param basePath Of the studio, if it has one.
 */
export function useStudio(
  make: () => StudioHandler | Promise<StudioHandler>,
  basePath = "",
): StudioInBrowser {
  let browser: Browser;
  let served: Awaited<ReturnType<typeof serveStudio>>;
  beforeAll(async () => {
    served = await serveStudio(await make());
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await served?.stop();
  });
  return {
    get origin() {
      return served.origin;
    },
    get browser() {
      return browser;
    },
    open: (path, options) => openStudioPage(browser, served.origin + basePath, path, options),
  };
}

/** Has the page believe that nobody sees it, or that somebody does. */
export async function hide(page: Page, isHidden: boolean): Promise<void> {
  await page.evaluate(
    (value) => Object.defineProperty(document, "hidden", { value, configurable: true }),
    isHidden,
  );
}

/** What the page sends to an operation from now on. */
export function sentBy(page: Page, operation: string): { readonly sent: unknown[] } {
  const sent: unknown[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith(`/api/${operation}`)) sent.push(request.postDataJSON());
  });
  return { sent };
}

/**
 * Counts what the page asks for, from now on and on each page that is loaded. It is known at once, and not when the
 * request has been sent.
 *
 * @returns The operations that were asked for since the last call.
 */
export async function countAsked(page: Page): Promise<() => Promise<string[]>> {
  const count = () => {
    const real = fetch;
    const asked: string[] = [];
    const counted = (...[url, init]: Parameters<typeof real>) => {
      asked.push(String(url).replace(/.*\/api\//, ""));
      return real(url, init);
    };
    globalThis.fetch = Object.assign(counted, real);
    Object.assign(globalThis, { asked });
  };
  await page.addInitScript(count);
  await page.evaluate(count);
  return () => page.evaluate(() => (globalThis as unknown as { asked: string[] }).asked.splice(0));
}

/** Keeps the answers of an operation back until they are released. */
export async function hold(page: Page, operation: string): Promise<() => void> {
  let release = () => {};
  const released = new Promise<void>((resolve) => release = resolve);
  await page.route(`**/api/${operation}`, async (route) => {
    await released;
    await route.fallback().catch(() => {});
  });
  return release;
}

/** The colors of the first plot of a page, of what nothing shines through: "47,95,208". */
export function colorsOfPlot(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>(".plot canvas");
    const drawn = canvas?.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height);
    const { data } = drawn ?? { data: [] };
    return Array.from({ length: data.length / 4 }, (_, at) => data.slice(at * 4, at * 4 + 4))
      .filter((it) => it[3] === 255).map((it) => it.slice(0, 3).join());
  });
}

/** What must not happen on a page, as it happens: dialogs, errors, and what the policy of the page forbids. */
export function troubleOf(page: Page): string[] {
  const trouble: string[] = [];
  page.on("dialog", (dialog) => {
    trouble.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("pageerror", (error) => trouble.push(`error: ${error.stack ?? error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") trouble.push(`console: ${message.text()}`);
  });
  page.on("popup", (popup) => trouble.push(`popup: ${popup.url()}`));
  return trouble;
}

/** What axe finds serious on a page, which was opened with `bypassCSP`. */
export async function seriousOf(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(pathOf("test/node_modules/axe-core/axe.min.js"), "utf8"));
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
    const { violations } = await axe.run(document);
    return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => `${id}: ${nodes.map((it) => it.html.slice(0, 200)).join(" ")}`);
  });
}
