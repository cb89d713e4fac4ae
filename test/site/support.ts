/** The built site in Chromium, served from a path of its own. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, type Page } from "playwright";
import { afterAll, beforeAll, expect } from "vitest";
import { launchChromium } from "../support/chromium.js";
import { serveFolder, type StaticServer } from "../support/static-server.js";

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
    async withPage(address, test, options = {}) {
      const context = await browser.newContext({
        reducedMotion: "reduce",
        viewport: { width: 1280, height: 900 },
        serviceWorkers: "block",
        ...options,
      });
      context.setDefaultTimeout(PATIENCE);
      const page = await context.newPage();
      const problems: string[] = [];
      page.on("pageerror", ({ message }) => problems.push(message));
      page.on(
        "console",
        (message) => message.type() === "error" && problems.push(`${message.text()} (${message.location().url})`),
      );
      page.on("request", (request) => {
        if (!/^(?:blob|data):/.test(request.url()) && !request.url().startsWith(server.url)) {
          problems.push(`requested ${request.url()}`);
        }
      });
      try {
        await page.goto(server.url + address);
        await test(page);
        expect(problems.filter((problem) => !OPTIONAL.test(problem))).toEqual([]);
      } finally {
        await context.close();
      }
    },
  };
}

/** Files that a model folder may lack, and icons; browsers report the 404 on the console whatever the page does. */
const OPTIONAL = /404.*\/(?:generation_config\.json|chat_template\.jinja|favicon\.ico)\)$/;

/** Findings of axe in the page as it is, serious or critical, as rule: element. */
export async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { axe: inPage } = globalThis as unknown as { readonly axe: typeof axe };
    const { violations } = await inPage.run(document);
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(" ")}`));
  });
}
