/** The site as readers use it: pages, search, figures, other parts; light and dark, wide and narrow; axe. */
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { findings } from "../support/watched-page.js";
import { withPage } from "./support.js";

/** Waits until the page is an application: its scripts were found. */
const alive = (page: Page) => page.locator(".VPNavBarSearchButton, #local-search").first().waitFor();

describe("a page", () => {
  it("leads to others without a new document, and back", () =>
    withPage("", async (page) => {
      await alive(page);
      await page.evaluate(() => Object.assign(globalThis, { kept: true }));
      await page.getByRole("link", { name: "5. Confidence" }).click();
      await page.waitForURL(/\/any\/path\/05-confidence\.html$/);
      await page.getByRole("heading", { level: 1, name: "Confidence" }).waitFor();
      await page.locator(".vp-doc").getByRole("link", { name: "Contents" }).click();
      await page.waitForURL(/\/any\/path\/$/);
      expect(await page.evaluate(() => "kept" in globalThis)).toBe(true);
    }));

  it("opens by its own address, with an anchor", () =>
    withPage("14-limits.html#limits-of-a-certificate", async (page) => {
      await alive(page);
      await expect
        .poll(() => page.locator("#limits-of-a-certificate").evaluate((heading) => heading.getBoundingClientRect().top))
        .toBeLessThan(300);
    }));

  it("leads to the source that it names", () =>
    withPage("05-confidence.html", async (page) => {
      await alive(page);
      await page.locator('.vp-doc a[href*="source/src/"]').first().click();
      await page.waitForURL(/\/any\/path\/source\/src\/.*\.ts\.html$/);
      await page.locator("pre .line").first().waitFor();
    }));
});

it("search finds a section by a word of it, and goes there", () =>
  withPage("", async (page) => {
    await page.getByRole("button", { name: "Search" }).click();
    await page.locator("#localsearch-input").fill("documents that resemble each other");
    const result = page.locator("#localsearch-list a").first();
    await result.waitFor();
    expect(await result.textContent()).toMatch(/Calibration|Certificates/);
    await result.click();
    await page.waitForURL(/\/any\/path\/\d\d-[\w-]+\.html#/);
    await alive(page);
  }));

it.each(["light", "dark"] as const)("figures are loaded, and have the ground of the page's theme: %s", (theme) =>
  withPage(
    "03-exit-heads.html",
    async (page) => {
      await alive(page);
      await page.evaluate((dark) => document.documentElement.classList.toggle("dark", dark), theme === "dark");
      const figures = page.locator(".vp-doc img");
      expect(await figures.count()).toBeGreaterThan(0);
      for (const figure of await figures.all()) {
        await figure.scrollIntoViewIfNeeded();
        expect(await figure.evaluate((image: HTMLImageElement) => image.decode().then(() => image.naturalWidth))).toBe(
          760,
        );
        expect(await brightnessOf(page, await figure.screenshot())).toBe(theme);
      }
    },
    { colorScheme: theme === "dark" ? "light" : "dark" }, // the page's choice, not the system's
  ),
);

/** Brightness of the ground of a picture, near its corner: light or dark. */
function brightnessOf(page: Page, picture: Buffer) {
  return page.evaluate(async (data) => {
    const image = await createImageBitmap(new Blob([Uint8Array.from(data)], { type: "image/png" }));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d")!;
    context.drawImage(image, 0, 0);
    const [red = 0, green = 0, blue = 0] = context.getImageData(8, 8, 1, 1).data;
    return red + green + blue > 384 ? "light" : "dark";
  }, Array.from(picture));
}

it.each([
  ["Playground", "playground", "#text[aria-busy=false] .token"],
  ["API", "api", 'h1:text-is("early-exits")'],
])("%s opens and works", (name, path, sign) =>
  withPage("", async (page) => {
    await page.getByRole("link", { name }).first().click();
    await page.waitForURL(`**/any/path/${path}/`);
    await page.locator(sign).first().waitFor();
  }),
);

describe("axe-core finds nothing serious", () => {
  const pages = [
    "index",
    "12-certificates",
    "13-speed",
    "micro-exits",
    "tour",
    "source/src/exits/decode/decode.ts",
    "source/apps/serve/README.md",
  ];
  it.each([
    ["light", 1280],
    ["dark", 390],
  ] as const)("%s at %i pixels", (colorScheme, width) =>
    withPage(
      "",
      async (page) => {
        for (const name of pages) {
          await page.goto(new URL(`${name}.html`, page.url().replace(/path\/.*/, "path/")).href);
          await page.locator(".VPContent, main").first().waitFor();
          const serious = (await findings(page)).filter((finding) => /^(serious|critical) /.test(finding));
          expect.soft(serious, name).toEqual([]);
        }
      },
      { colorScheme, viewport: { width, height: 900 } },
    ),
  );
});
