/** The built site in Chromium, served from a path of its own. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, type Page } from "playwright";
import { afterAll, beforeAll } from "vitest";
import { launchChromium } from "../support/chromium.js";
import { serveFolder, type StaticServer } from "../support/static-server.js";
import { withWatchedPage } from "../support/watched-page.js";

export const root = join(import.meta.dirname, "../..");
/** The built site. */
export const built = join(root, "site/dist");
if (!existsSync(join(built, "index.html"))) throw new Error("site/dist does not exist; run npm run build:site");

/** Long, because the machine may be busy; the tests are about what happens, not when. */
const PATIENCE = 120_000;
const PATH = "any/path/";

export interface Site {
  /**
   * Opens a page of the site, such as "tour.html", and runs a test. Fails if a page logs an error, breaks its content
   * security policy, or asks another server.
   */
  readonly withPage: (
    address: string,
    test: (page: Page) => Promise<void>,
    options?: BrowserContextOptions,
  ) => Promise<void>;
}

/** Starts browser and server before the tests of a file, and stops them afterwards. */
export function useSite(): Site {
  let browser: Browser;
  let server: StaticServer;
  beforeAll(async () => {
    browser = await launchChromium();
    server = await serveFolder(built, { at: PATH });
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
  });
  return {
    withPage: (address, test, options = {}) =>
      withWatchedPage(browser, server.url + address, test, {
        servers: [server.url],
        patience: PATIENCE,
        viewport: { width: 1280, height: 900 },
        ...options,
      }),
  };
}
