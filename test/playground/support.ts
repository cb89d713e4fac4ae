/** The built playground in Chromium, served from a path of its own, with and without cross-origin isolation. */
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContextOptions, type Page } from "playwright";
import { afterAll, beforeAll } from "vitest";
import type { OperatingPoints } from "../../playground/src/engine/operating-points.js";
import { launchChromium } from "../support/chromium.js";
import { serveFolder, type StaticServer } from "../support/static-server.js";
import { withWatchedPage } from "../support/watched-page.js";

const root = join(import.meta.dirname, "../..");
/** The built page. */
export const built = join(root, "playground/dist");
/** The embedded model as the page has it. */
export const data = join(root, "playground/public/model");
export const PROMPT = "The people of the United States";
/** Long, because the machine may be busy; most tests are about what happens, not when. */
export const PATIENCE = 60_000;
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** A chat template for a model that was trained without one: the messages, one after another. */
const TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}";

export interface PageOptions extends BrowserContextOptions {
  /** End of the page's address, such as "#prompt=Hello". @default "" */
  readonly hash?: string;
  /** True if the page is cross-origin isolated. @default false */
  readonly isolated?: boolean;
  /** Beginnings of addresses that the page may ask besides its own. @default none */
  readonly servers?: readonly string[];
}

export interface Playground {
  /** Opens the page and runs a test; fails if the page logs an error or sends a request to any other server. */
  readonly withPage: (test: (page: Page) => Promise<void>, options?: PageOptions) => Promise<void>;
  /** The same, once its first text is complete. */
  readonly withText: Playground["withPage"];
  /**
   * A folder with a model: "plain" has no heads, "complete" has heads and a policy, "talking" a chat template too,
   * "broken" cannot be read.
   */
  readonly folder: (name: "plain" | "complete" | "talking" | "broken") => string;
}

/** Starts browser and servers before the tests of a file, and stops them afterwards. */
export function usePlayground(): Playground {
  let browser: Browser;
  let plain: StaticServer;
  let isolatedServer: StaticServer;
  let folders: string;
  beforeAll(async () => {
    if (!existsSync(join(built, "index.html"))) {
      throw new Error("playground/dist does not exist; run npm run build:playground");
    }
    browser = await launchChromium();
    plain = await serveFolder(built, { at: "any/path/" });
    isolatedServer = await serveFolder(built, { headers: ISOLATION });
    folders = await makeFolders();
  });
  afterAll(async () => {
    await browser.close();
    await plain.close();
    await isolatedServer.close();
    await rm(folders, { recursive: true, force: true });
  });
  const withPage: Playground["withPage"] = (test, { isolated = false, servers = [], hash = "", ...options } = {}) => {
    const url = isolated ? isolatedServer.url : plain.url;
    return withWatchedPage(browser, url + hash, test, { servers: [url, ...servers], patience: PATIENCE, ...options });
  };
  return {
    withPage,
    withText: (test, options) =>
      withPage(async (page) => {
        await written(page);
        await test(page);
      }, options),
    folder: (name) => join(folders, name),
  };
}

/** The folders that `Playground.folder` names. */
async function makeFolders(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "early-exits-playground-"));
  const { points } = await operatingPoints();
  for (const name of ["plain", "complete", "talking", "broken"]) {
    await mkdir(join(path, name));
    for (const file of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
      await cp(join(data, file), join(path, name, file));
    }
  }
  for (const name of ["complete", "talking"]) {
    for (const file of ["heads.json", "heads.safetensors"]) await cp(join(data, file), join(path, name, file));
    await writeFile(join(path, name, "policy.json"), JSON.stringify({ policy: points[0]!.paper!.policy }));
  }
  await writeFile(join(path, "talking/chat_template.jinja"), TEMPLATE);
  await writeFile(join(path, "broken/model.safetensors"), "this is no checkpoint");
  return path;
}

export async function operatingPoints(): Promise<OperatingPoints> {
  return JSON.parse(await readFile(join(data, "points.json"), "utf8")) as OperatingPoints;
}

/** Drops files and folders as the desktop does. */
export async function drop(page: Page, path: string): Promise<void> {
  const session = await page.context().newCDPSession(page);
  for (const type of ["dragEnter", "dragOver", "drop"] as const) {
    await session.send("Input.dispatchDragEvent", {
      type,
      x: 300,
      y: 300,
      data: { items: [], files: [path], dragOperationsMask: 1 },
    });
  }
}

/** Presses the button of that name. */
export const press = (page: Page, name: string | RegExp): Promise<void> => page.getByRole("button", { name }).click();

export const choose = (page: Page, name: string | RegExp): Promise<void> => page.getByRole("radio", { name }).check();

/** Waits until the page shows a text. */
export const says = (page: Page, words: string | RegExp): Promise<void> => page.getByText(words).waitFor();

export const textOf = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).textContent())!;

/** Waits until nothing runs: the text is complete, and so is its comparison. */
export async function idle(page: Page): Promise<void> {
  await page.locator("#write:visible:enabled").waitFor();
}

/** The depth of every token of the text. */
export function depthsOf(page: Page): Promise<string[]> {
  return page
    .locator("#text .token")
    .evaluateAll((tokens) => tokens.map((token) => (token as HTMLElement).dataset["depth"]!));
}

/** Waits until a text is complete, and resolves to what follows the prompt. */
export async function written(page: Page): Promise<string> {
  await page.locator("#text[aria-busy=false] .token").first().waitFor();
  return (await textOf(page, "#text")).replaceAll("\u200b", "").slice(PROMPT.length);
}
