/** The playground is legible in both themes: nothing overflows, and text on tints has contrast (axe sees the rest). */
import { expect, it } from "vitest";
import { withText } from "./support.js";

it.each([
  ["light", 1280],
  ["dark", 390],
  ["light", 360],
] as const)(
  "the look %s at %i pixels: nothing overflows, and text on a tint has a contrast of 4.5 or more",
  (colorScheme, width) =>
    withText(
      async (page) => {
        await page.locator(".token").nth(3).hover();
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
        const tints = await page.evaluate(contrastsOfTints);
        expect(tints.length).toBeGreaterThanOrEqual(2);
        expect(Math.min(...tints)).toBeGreaterThanOrEqual(4.5);
      },
      { colorScheme, viewport: { width, height: 900 } },
    ),
);

/** Runs in the page: contrast of the text colour on every tint of the legend. */
function contrastsOfTints() {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
  const luminance = (color: string) => {
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
