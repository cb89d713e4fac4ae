/** Pages of a built site in Chromium, which must log no error and ask no other server; and what axe finds in them. */
import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright";
import { afterAll, expect } from "vitest";
import { launchChromium } from "./chromium.js";

/** Chromium, for the tests of one file. */
export async function chromiumHere() {
  const browser = await launchChromium();
  afterAll(() => browser.close());
  return browser;
}

export interface WatchOptions extends BrowserContextOptions {
  /** Beginnings of the addresses that the page may ask. */
  readonly servers: readonly string[];
  /** Milliseconds that anything on the page may take. */
  readonly patience: number;
}

/** Files that a model folder may lack, and icons; browsers report the 404 on the console whatever the page does. */
const OPTIONAL = /404.*\/(?:generation_config\.json|chat_template\.jinja|manifest\.json|favicon\.ico)\)$/;

/** Opens a page and runs a test; fails if there were problems meanwhile. */
export async function withWatchedPage(
  browser: Browser,
  address: string,
  test: (page: Page) => Promise<void>,
  { servers, patience, ...options }: WatchOptions,
) {
  const context = await browser.newContext({
    reducedMotion: "reduce",
    viewport: { width: 1280, height: 1000 },
    serviceWorkers: "block", // each page would store the whole build; playground/offline.test.ts is about that
    ...options,
  });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", ({ message }) => problems.push(message));
  page.on("console", (message) => {
    const problem = `${message.text()} (${message.location().url})`;
    if (message.type() === "error" && !OPTIONAL.test(problem)) problems.push(problem);
  });
  page.on("request", (request) => {
    const own = /^(blob|data):/.test(request.url()) || servers.some((one) => request.url().startsWith(one));
    if (!own) problems.push(`requested ${request.url()}`);
  });
  try {
    await page.goto(address);
    await test(page);
    expect(problems).toEqual([]);
  } finally {
    await context.close();
  }
}

/** Findings of axe in the page as it is, as impact, rule: element. */
export async function findings(page: Page) {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const page = globalThis as unknown as { readonly axe: typeof axe };
    const { violations } = await page.axe.run(document);
    return violations.flatMap(({ id, impact, nodes }) =>
      nodes.map(({ target }) => `${impact} ${id}: ${target.join(" ")}`),
    );
  });
}
