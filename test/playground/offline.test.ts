/** The built page without a network, after the first visit; and what its service worker leaves alone. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { type Page } from "playwright";
import { expect, it } from "vitest";
import { scratch } from "../support/scratch.js";
import { serveFolder } from "../support/static-server.js";
import { browser, built, checkCertificate, PATIENCE, written } from "./support.js";

const PATH = "some/folder/";

const root = scratch();
await cp(built, root.path(PATH), { recursive: true });
await writeFile(root.path("other.html"), "<!doctype html><title>other</title><p>another page</p>");
await writeFile(root.path(PATH, "notes.txt"), "not part of the build");

/** Opens the page below a path of its server, `url`, and waits until it is stored. */
async function visit(
  test: (page: Page, url: string, server: Awaited<ReturnType<typeof serveFolder>>) => Promise<void>,
) {
  const server = await serveFolder(root.path());
  const context = await browser.newContext({ reducedMotion: "reduce" });
  context.setDefaultTimeout(PATIENCE);
  try {
    const page = await context.newPage();
    const url = server.url + PATH;
    await page.goto(url);
    await stored(page);
    await test(page, url, server);
  } finally {
    await context.close();
    await server.close().catch(() => undefined); // the test may have closed it
  }
}

const stored = (page: Page) => page.getByText("work without a network").waitFor();

/** The names of all caches of the page's server. */
const cacheNames = (page: Page) => page.evaluate(() => caches.keys());

it("opens and writes without a network, by either name, with its model, its charts and its certificates", () =>
  visit(async (page, url, server) => {
    const text = await written(page);
    await server.close();
    await expect(fetch(url)).rejects.toThrow(); // nothing answers any more
    await page.goto(`${url}#seed=2`);
    await page.reload();
    expect(await written(page)).toBe(text);
    await page.locator("#curve svg").waitFor();
    await checkCertificate(page);
    await page.goto(`${url}index.html`);
    expect(await written(page)).toBe(text);
  }));

it("leaves other pages of the server alone, and files that are not of the build", () =>
  visit(async (page, url, server) => {
    const other = await page.context().newPage();
    await other.goto(`${server.url}other.html`);
    expect(await other.evaluate(() => navigator.serviceWorker.controller)).toBe(null);
    const [scope] = await other.evaluate(async () =>
      (await navigator.serviceWorker.getRegistrations()).map((registration) => registration.scope),
    );
    expect(scope).toBe(url);
    await page.goto(url);
    await written(page);
    expect(await page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(true);
    await writeFile(root.path(PATH, "notes.txt"), "changed since");
    expect(await page.evaluate(async () => (await fetch("./notes.txt")).text())).toBe("changed since");
  }));

it("is replaced by a new build when it is opened again, and only its own caches are removed", () =>
  visit(async (page, url) => {
    const context = page.context();
    const [first] = await cacheNames(page);
    await page.evaluate(() => caches.open("somebody else's"));
    const index = root.path(PATH, "index.html");
    const worker = root.path(PATH, "service-worker.js");
    const before = { index: await readFile(index, "utf8"), worker: await readFile(worker, "utf8") };
    try {
      await writeFile(index, before.index.replace("Early exits, live</h1>", "Early exits, anew</h1>"));
      await writeFile(worker, before.worker.replace(/OFFLINE_VERSION = "\w+"/, 'OFFLINE_VERSION = "next"'));
      await page.evaluate(async () => {
        const registration = await navigator.serviceWorker.ready;
        await registration.update();
        const installing = registration.installing ?? registration.waiting;
        await new Promise<void>((resolve) => {
          const look = () => (installing?.state === "installed" ? resolve() : undefined);
          installing?.addEventListener("statechange", look);
          look();
        });
      });
      // A page of the old build is open, so the new one waits.
      expect(await cacheNames(page)).toContain(first);
      await page.close();
      const again = await context.newPage();
      const heading = again.getByRole("heading", { level: 1 });
      const headingAnew = async () => {
        await again.goto("about:blank");
        await again.goto(url);
        return heading.textContent();
      };
      await expect.poll(headingAnew, { timeout: PATIENCE }).toBe("Early exits, anew");
      await stored(again);
      const names = await cacheNames(again);
      expect(names).toHaveLength(2);
      expect(names).toContain("somebody else's");
      expect(names).not.toContain(first);
    } finally {
      await writeFile(index, before.index);
      await writeFile(worker, before.worker);
    }
  }));
