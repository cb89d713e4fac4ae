/** The built playground in Chromium, served from a path of its own, with and without cross-origin isolation. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BrowserContextOptions, type Page } from "playwright";
import type { OperatingPoints } from "../../playground/src/engine/operating-points.js";
import { scratch } from "../support/scratch.js";
import { served } from "../support/static-server.js";
import { chromiumHere, withWatchedPage } from "../support/watched-page.js";

const root = join(import.meta.dirname, "../..");
/** The built page. */
export const built = join(root, "playground/dist");
/** The embedded model as the page has it. */
export const data = join(root, "playground/public/model");
export const PROMPT = "The people of the United States";
/** Long, because the machine may be busy; most tests are about what happens, not when. */
export const PATIENCE = 60_000;
const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

if (!existsSync(join(built, "index.html"))) {
  throw new Error("playground/dist does not exist; run npm run build:playground");
}
export const operatingPoints = JSON.parse(readFileSync(join(data, "points.json"), "utf8")) as OperatingPoints;
export const browser = await chromiumHere();
const plain = await served(built, { at: "any/path/" });
const isolatedPage = await served(built, { headers: ISOLATION });

/** A chat template for a model that was trained without one: the messages, one after another. */
const TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}";
const folders = scratch();
for (const name of ["plain", "complete", "talking", "broken"]) {
  const copy = (file: string) => cpSync(join(data, file), folders.path(name, file));
  mkdirSync(folders.path(name));
  ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"].forEach(copy);
  if (name !== "complete" && name !== "talking") continue;
  ["heads.json", "heads.safetensors"].forEach(copy);
  const { policy } = operatingPoints.points[0]!.paper!;
  writeFileSync(folders.path(name, "policy.json"), JSON.stringify({ policy }));
}
writeFileSync(folders.path("talking/chat_template.jinja"), TEMPLATE);
writeFileSync(folders.path("broken/model.safetensors"), "this is no checkpoint");

/**
 * A folder with a model: "plain" has no heads, "complete" has heads and a policy, "talking" a chat template too,
 * "broken" cannot be read.
 */
export const folder = (name: "plain" | "complete" | "talking" | "broken") => folders.path(name);

export interface PageOptions extends BrowserContextOptions {
  /** End of the page's address, such as "#prompt=Hello". @default "" */
  readonly hash?: string;
  /** True if the page is cross-origin isolated. @default false */
  readonly isolated?: boolean;
  /** Beginnings of addresses that the page may ask besides its own. @default none */
  readonly servers?: readonly string[];
}

/** Opens the page and runs a test; fails if the page logs an error or sends a request to any other server. */
export function withPage(
  test: (page: Page) => Promise<void>,
  { isolated = false, servers = [], hash = "", ...options }: PageOptions = {},
) {
  const url = isolated ? isolatedPage : plain;
  return withWatchedPage(browser, url + hash, test, { servers: [url, ...servers], patience: PATIENCE, ...options });
}

/** The same once its first text is complete, with what follows the prompt. */
export function withText(test: (page: Page, text: string) => Promise<void>, options?: PageOptions) {
  return withPage(async (page) => test(page, await written(page)), options);
}

export const press = (page: Page, name: string) => page.getByRole("button", { name, exact: true }).click();
/** Waits until the page shows a text. */
export const says = (page: Page, words: string | RegExp) => page.getByText(words).waitFor();
export const choose = (page: Page, name: string | RegExp) => page.getByRole("radio", { name }).check();

/** Writes in lossless mode. */
export async function writeLossless(page: Page) {
  await choose(page, /^Lossless/);
  await page.locator("#rounds li").first().waitFor();
  await idle(page);
}

export async function race(page: Page) {
  await press(page, "Start the race");
  await page.locator("#race-status", { hasText: "times as fast in this race" }).waitFor();
}

/** Milliseconds of computing that show how much of a processor a program gets here. */
const SPIN = 40;

/** Slowness of the machine at the moment, 1 if it is idle: time on the wall per time computed. */
export function contention() {
  const begin = performance.now();
  const used = process.cpuUsage();
  const computed = () => {
    const { user, system } = process.cpuUsage(used);
    return (user + system) / 1000;
  };
  while (computed() < SPIN);
  return Math.max(1, (performance.now() - begin) / computed());
}

export const message = (page: Page) => page.getByRole("textbox", { name: "Message" });
export async function ask(page: Page, question: string) {
  await message(page).fill(question);
  await message(page).press("Enter");
}

/** Lets the page check the certificate that it has, which must be consistent. */
export async function checkCertificate(page: Page) {
  await press(page, "What is certified?");
  await press(page, "Check it in this page");
  await says(page, /^Arithmetic consistent, and made for this model and these heads/);
}

/** Presses a button, in the page itself, as soon as it has an element that it lacked. */
export function pressAtFirst(page: Page, selector: string, button: string) {
  const selectors = [selector, button] as const;
  return page.evaluate(([selector, button]) => {
    let lacked = document.querySelector(selector) === null;
    const observer = new MutationObserver(() => {
      const found = document.querySelector(selector) !== null;
      lacked ||= !found;
      if (!found || !lacked) return;
      observer.disconnect();
      document.querySelector<HTMLElement>(button)!.click();
    });
    observer.observe(document.body, { childList: true, subtree: true });
  }, selectors);
}

/** Drops files and folders as the desktop does. */
export async function drop(page: Page, path: string) {
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

/** Waits until nothing runs: the text is complete, and so is its comparison. */
export const idle = (page: Page) => page.locator("#write:visible:enabled").waitFor();

/** The depth of every token of a text. */
export const depthsOf = (page: Page, text = "#text") =>
  page
    .locator(`${text} .token`)
    .evaluateAll((tokens) => tokens.map((token) => (token as HTMLElement).dataset["depth"]!));

/** Waits until a text is complete, and resolves to what follows the prompt. */
export async function written(page: Page) {
  await page.locator("#text[aria-busy=false] .token").first().waitFor();
  return (await page.locator("#text").textContent())!.replaceAll("\u200b", "").slice(PROMPT.length);
}
