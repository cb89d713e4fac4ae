/**
 * `npm run screenshot` takes the picture in the playground's README of the built page, in Debian's Chromium: exits
 * certified for 90 %, one token in focus. Writes docs/figures/playground.png. The picture shows a measured ratio, so
 * the script measures until all rounds agree, and gives up on a busy machine.
 */
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { launchChromium } from "../test/support/chromium.js";
import { serveFolder } from "../test/support/static-server.js";

/** The highest ratio of the rounds is at most so many times the lowest. */
const SPREAD = 1.25;
const ATTEMPTS = 40;

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const server = await serveFolder(path("../playground/dist"));
const browser = await launchChromium();
const page = await browser.newPage({
  viewport: { width: 1180, height: 884 },
  colorScheme: "light",
  reducedMotion: "reduce",
});
page.setDefaultTimeout(120_000);
await page.goto(server.url);
await page.locator("#text[aria-busy=false] .token").first().waitFor();
await page.getByText("Certified: at least 90 %").waitFor();
await agreed();
await page.locator("#curve svg").waitFor();
await page.locator("#text[aria-busy=false] .token[data-depth='3']").nth(3).focus();
await page.evaluate(() => window.scrollTo(0, 0));
const file = path("../docs/figures/playground.png");
await page.screenshot({ path: file });
await browser.close();
await server.close();
console.log(`${file}: ${((await stat(file)).size / 1024).toFixed(0)} kB`);

/** Measures again until the rounds' ratios lie close together. */
async function agreed(): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await page.locator("#compare:enabled").waitFor();
    const verdict = (await page.locator("#verdict").textContent()) ?? "";
    const [, low, high] = /\(([\d.]+) to ([\d.]+)\)/.exec(verdict) ?? [];
    if (Number(high) / Number(low) <= SPREAD) return;
    console.error(`not yet: ${verdict}`);
    await page.locator("#compare").click();
  }
  throw new Error("the machine is too busy for a picture with a measured ratio; try again later");
}
