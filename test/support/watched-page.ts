/** Pages of a built site in Chromium, which must log no error and ask no other server; and what axe finds in them. */
import axe from "axe-core";
import type { Browser, BrowserContextOptions, Page } from "playwright";
import { expect } from "vitest";

export interface WatchOptions extends BrowserContextOptions {
  /** Beginnings of the addresses that the page may ask. */
  readonly servers: readonly string[];
  /** Milliseconds that anything on the page may take. */
  readonly patience: number;
  /** Errors on the console that do not count. @default none */
  readonly optional?: RegExp;
}

/** Opens a page and runs a test; fails if there were problems meanwhile. */
export async function withWatchedPage(
  browser: Browser,
  address: string,
  test: (page: Page) => Promise<void>,
  { servers, patience, optional, ...options }: WatchOptions,
): Promise<void> {
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
    if (message.type() === "error") problems.push(`${message.text()} (${message.location().url})`);
  });
  page.on("request", (request) => {
    const own = /^(blob|data):/.test(request.url()) || servers.some((one) => request.url().startsWith(one));
    if (!own) problems.push(`requested ${request.url()}`);
  });
  try {
    await page.goto(address);
    await test(page);
    expect(problems.filter((problem) => optional?.test(problem) !== true)).toEqual([]);
  } finally {
    await context.close();
  }
}

/** Findings of axe in the page as it is, as impact, rule: element. */
export async function findings(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const page = globalThis as unknown as { readonly axe: typeof axe };
    const { violations } = await page.axe.run(document);
    return violations.flatMap(({ id, impact, nodes }) =>
      nodes.map(({ target }) => `${impact} ${id}: ${target.join(" ")}`),
    );
  });
}
