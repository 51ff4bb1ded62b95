import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import process from "node:process";
import { chromium as playwright, type Page } from "playwright-core";

/**
 * Where Chromium is installed, or Chrome, if either is. Chromium without its own windows comes first: a page takes an
 * eighth of the time to open.
 */
export const chromium: string | undefined = [
  "chromium-headless-shell",
  "chromium",
  "google-chrome",
]
  .flatMap((name) => (process.env["PATH"] ?? "").split(delimiter).map((it) => join(it, name)))
  .find((path) => existsSync(path));

/** A page in a browser. */
export interface OpenPage {
  readonly page: Page;
  readonly origin: string;
  readonly close: () => Promise<void>;
}

/** Opens an empty page in a headless Chromium. It comes from a server, and so has an origin. */
export async function openPage(): Promise<OpenPage> {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html").end("<!doctype html>");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const browser = await playwright.launch({ executablePath: chromium! });
  const page = await browser.newPage();
  await page.goto(origin);
  return {
    page,
    origin,
    close: async () => {
      await browser.close();
      server.close();
      server.closeAllConnections();
    },
  };
}
