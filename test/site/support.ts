/** The built site in Chromium, served from a path of its own. */
import type { BrowserContextOptions, Page } from "playwright";
import { served } from "../support/static-server.js";
import { chromiumHere, withWatchedPage } from "../support/watched-page.js";
import { built } from "./crawl.js";

/** Long, because the machine may be busy; the tests are about what happens, not when. */
const PATIENCE = 120_000;

const browser = await chromiumHere();
const url = await served(built, { at: "any/path/" });

/**
 * Opens a page of the site, such as "tour.html", and runs a test. Fails if a page logs an error, breaks its content
 * security policy, or asks another server.
 */
export function withPage(address: string, test: (page: Page) => Promise<void>, options?: BrowserContextOptions) {
  return withWatchedPage(browser, url + address, test, {
    servers: [url],
    patience: PATIENCE,
    viewport: { width: 1280, height: 900 },
    ...options,
  });
}
