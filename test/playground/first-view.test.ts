/** First sight of a visitor: a text in colours, soon, and written faster than without exits. */
import { generate } from "early-exits";
import { createDevice, readHeads, readModel } from "early-exits/node";
import { expect, it } from "vitest";
import { contention, data, depthsOf, idle, operatingPoints, press, PROMPT, withPage, withText } from "./support.js";

it("has its first token within a second of opening", async () => {
  const times: number[] = [];
  // Other programs may use the processors. An opening counts by the share that was left to this test just before and
  // after it, and the first that is soon enough shows it, because a disturbance can only add time.
  for (let i = 0; i < 12 && Math.min(...times) >= 1000; i++) {
    const before = contention();
    await withPage(async (page) => {
      await page.locator("#text .token").first().waitFor();
      const time = await page.evaluate(() => performance.getEntriesByName("first-token")[0]!.startTime);
      times.push(time / Math.max(before, contention()));
    });
  }
  expect(Math.min(...times)).toBeLessThan(1000);
});

it("is written at 90 % agreement, in colours, and more than 1.3 times as fast as without exits", () =>
  withPage(async (page) => {
    let ratio = 0;
    // On a slow machine the comparison waits to be asked for; on a busy one its runs overlap, or are disturbed.
    for (let i = 0; i < 6 && !(ratio > 1.3); i++) {
      if (i > 0) await press(page, "Measure this prompt");
      await idle(page);
      ratio = parseFloat((await page.locator("#verdict").textContent())!);
    }
    await page.locator("#promise", { hasText: /^Certified: at least 90\s%/ }).waitFor();
    expect(new Set(await depthsOf(page)).size).toBe(3);
    // A median of ratios of runs that followed each other at once: what disturbs one disturbs the other.
    expect(ratio).toBeGreaterThan(1.3);
  }));

it("is the same text as the library writes in Node", () =>
  withText(async (page, text) => {
    const { certified } = operatingPoints.points.find(({ agreement }) => agreement === 0.9)!;
    const model = await readModel(data, { device: await createDevice("wasm") });
    const run = generate(await readHeads(data, model), PROMPT, { policy: certified.policy, maxNewTokens: 80 });
    const depths: string[] = [];
    for await (const { depth } of run) depths.push(String(depth));
    expect(text).toBe(run.summary.text);
    expect(await depthsOf(page)).toEqual(depths);
  }));

it("shows on a phone the text before any control, in the upper half", () =>
  withText(
    async (page) => {
      const top = (await page.locator("#text").boundingBox())!.y;
      expect(top).toBeLessThan(844 / 2);
      const controls = await page
        .locator("button:visible, input:visible, select:visible, textarea:visible")
        .evaluateAll((elements) => elements.map((element) => element.getBoundingClientRect().top));
      expect(Math.min(...controls)).toBeGreaterThan(top);
    },
    { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  ));
