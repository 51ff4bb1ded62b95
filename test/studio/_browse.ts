import { createAdaptorServer } from "@hono/node-server";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, chromium as playwright, type Page } from "playwright-core";
import { chromium } from "../_browser.ts";

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
