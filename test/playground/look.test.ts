/** The playground is legible: nothing overflows, and every text has enough contrast, in both themes. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { usePlayground, written } from "./support.js";

const { withPage } = usePlayground();

describe("the look", () => {
  it.each([
    ["light", 1280],
    ["dark", 1280],
    ["light", 390],
    ["dark", 390],
    ["light", 360],
    ["dark", 360],
  ] as const)(
    "%s at %i pixels: nothing overflows, and every text has a contrast of 4.5 or more",
    (colorScheme, width) =>
      withPage(
        async (page) => {
          await written(page);
          await page.locator(".token").nth(3).hover();
          if (process.env["SCREENSHOTS"] !== undefined) {
            await page.screenshot({
              path: join(process.env["SCREENSHOTS"], `playground-${colorScheme}-${width}.png`),
              fullPage: true,
            });
          }
          expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
          expect(await page.evaluate(poorContrasts)).toEqual([]);
          const tints = await page.evaluate(contrastsOfTints);
          expect(tints.length).toBeGreaterThanOrEqual(2);
          expect(Math.min(...tints)).toBeGreaterThanOrEqual(4.5);
        },
        { colorScheme, viewport: { width, height: 900 } },
      ),
  );
});

/** Runs in the page: elements whose text has too little contrast with its background. */
function poorContrasts(): string[] {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
  const paint = (layers: readonly string[]): number[] => {
    for (const color of layers) {
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
    }
    return Array.from(context.getImageData(0, 0, 1, 1).data.slice(0, 3));
  };
  const luminance = (rgb: readonly number[]): number => {
    const [r, g, b] = rgb.map((value) => (value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  return Array.from(document.querySelectorAll<HTMLElement>("body *")).flatMap((element) => {
    const own = Array.from(element.childNodes).some(
      (node) => node.nodeType === Node.TEXT_NODE && node.textContent!.trim() !== "",
    );
    const box = element.getBoundingClientRect();
    if (
      !own ||
      box.width < 2 ||
      element.closest(":disabled, label:has(:disabled), script, .skip, svg, option") !== null
    ) {
      return [];
    }
    const layers: string[] = [];
    for (let at: Element | null = element; at !== null; at = at.parentElement) {
      layers.unshift(getComputedStyle(at).backgroundColor);
    }
    const ground = luminance(paint(layers));
    const ink = luminance(paint([...layers, getComputedStyle(element).color]));
    const contrast = (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
    return contrast < 4.5 ? [`${contrast.toFixed(2)}: ${element.textContent.slice(0, 40)}`] : [];
  });
}

/** Runs in the page: contrast of the text colour on every tint of the legend. */
function contrastsOfTints(): number[] {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
  const luminance = (color: string): number => {
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = Array.from(context.getImageData(0, 0, 1, 1).data, (value) =>
      value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const ink = luminance(getComputedStyle(document.body).color);
  return Array.from(
    document.querySelectorAll<HTMLElement>("#legend .swatch"),
    (swatch) => getComputedStyle(swatch).backgroundColor,
  )
    .filter((color) => !/, 0\)$|^transparent$/.test(color))
    .map((color) => {
      const tint = luminance(color);
      return (Math.max(ink, tint) + 0.05) / (Math.min(ink, tint) + 0.05);
    });
}
