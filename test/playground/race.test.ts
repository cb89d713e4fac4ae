/** The race: two texts side by side, each on a clock of its own. */
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { race } from "../../playground/src/engine/race.js";
import type { RaceStep } from "../../playground/src/engine/index.js";
import { choose, idle, press, textOf, usePlayground, written } from "./support.js";

const { withPage, withText } = usePlayground();

const lane = (page: Page, mode: string) => page.locator(`#lanes [data-mode=${mode}]`);
const laneText = async (page: Page, mode: string): Promise<string> =>
  (await lane(page, mode).locator(".text").textContent())!.replaceAll("\u200b", "");

async function raced(page: Page): Promise<void> {
  await press(page, "Start the race");
  await page.locator("#race-status", { hasText: "times as fast in this race" }).waitFor();
}

describe("the race", () => {
  it("writes what plain and exits write, and says which was faster", () =>
    withPage(async (page) => {
      const text = await written(page);
      await idle(page);
      await raced(page);
      expect((await laneText(page, "exits")).endsWith(text)).toBe(true);
      for (const mode of ["plain", "exits"]) {
        expect(await lane(page, mode).locator(".clock").textContent()).toMatch(/^\d+ tokens in \d+\.\d ms, done$/);
      }
      expect(await textOf(page, "#race-status")).toMatch(/The texts differ\.$|wrote the same text\.$/);
    }));

  it("of lossless against plain ends with the same text", () =>
    withText(async (page) => {
      await choose(page, /^Lossless/);
      await page.locator("#rounds li").first().waitFor();
      await idle(page);
      await raced(page);
      expect(await laneText(page, "lossless")).toBe(await laneText(page, "plain"));
      expect(await textOf(page, "#race-status")).toMatch(/Both wrote the same text\.$/);
    }));

  it("shows two cursors in slow motion, and stops when asked", () =>
    withText(async (page) => {
      await idle(page);
      await page.getByRole("checkbox", { name: "Slow motion" }).check();
      await page.getByRole("spinbutton", { name: "Tokens" }).fill("200"); // 9 seconds in slow motion
      await page.evaluate(stopAtFirstCursors);
      await press(page, "Start the race");
      await page.locator("#race-status", { hasText: "Stopped." }).waitFor();
      expect(await page.locator("#lanes").getAttribute("data-cursors")).toBe("2");
      expect(await lane(page, "plain").locator(".token").count()).toBeLessThan(200);
      await page.getByRole("button", { name: "Start the race" }).waitFor();
    }));
});

/** Runs in the page: stops the race when both lanes have a token, and notes how many cursors there were. */
function stopAtFirstCursors(): void {
  const lanes = document.querySelector<HTMLElement>("#lanes")!;
  const observer = new MutationObserver(() => {
    if (lanes.querySelectorAll(".lane:has(.token)").length < 2) return;
    observer.disconnect();
    lanes.dataset["cursors"] = String(lanes.querySelectorAll(".cursor").length);
    document.querySelector<HTMLElement>("#race-stop")!.click();
  });
  observer.observe(lanes, { childList: true, subtree: true });
}

describe("the lanes of a race", () => {
  type Run = Parameters<typeof race>[0][number]["run"];

  /** A run whose tokens take `cost` on a clock that only it moves; `ended` is called when it is closed. */
  function fake(tokens: number, cost: number, clock: { now: number }, ended = (): void => undefined): Run {
    async function* tokensOf() {
      try {
        for (let i = 0; i < tokens; i++) {
          await Promise.resolve();
          clock.now += cost;
          yield { text: "a", depth: 1, exit: undefined };
        }
      } finally {
        ended();
      }
    }
    const summary = { text: "a".repeat(tokens), newTokens: tokens };
    return { [Symbol.asyncIterator]: tokensOf, summary } as unknown as Run;
  }

  it("each have a clock that counts their own tokens only, after the first", async () => {
    const clock = { now: 0 };
    const steps: RaceStep[] = [];
    const results = await race(
      [
        { mode: "plain", run: fake(5, 30, clock) },
        { mode: "exits", run: fake(9, 10, clock) },
      ],
      { onStep: (step) => steps.push(step), breathe: () => Promise.resolve(), now: () => clock.now },
    );
    expect(results.map(({ milliseconds }) => milliseconds)).toEqual([4 * 30, 8 * 10]);
    const times = (wanted: number): number[] => steps.filter(({ lane: of }) => of === wanted).map(({ at }) => at);
    expect(times(0)).toEqual([0, 30, 60, 90, 120]);
    expect(times(1)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80]);
  });

  it("never let one lane run ahead by more than one token", async () => {
    const clock = { now: 0 };
    const at = [0, 0];
    await race(
      [
        { mode: "plain", run: fake(50, 7, clock) },
        { mode: "exits", run: fake(200, 3, clock) },
      ],
      {
        onStep({ lane: of, at: time }) {
          at[of] = time;
          if (at.every((one) => one < 49 * 7)) expect(Math.abs(at[0]! - at[1]!)).toBeLessThanOrEqual(7);
        },
        breathe: () => Promise.resolve(),
        now: () => clock.now,
      },
    );
  });

  it("are all closed if one fails", async () => {
    const clock = { now: 0 };
    let closed = false;
    const failing = fake(3, 1, clock);
    Object.defineProperty(failing, Symbol.asyncIterator, {
      async *value() {
        yield await Promise.resolve({ text: "a", depth: 1, exit: undefined });
        throw new Error("cancelled");
      },
    });
    const lanes = [
      { mode: "plain", run: fake(50, 1, clock, () => (closed = true)) },
      { mode: "exits", run: failing },
    ] as const;
    const run = race(lanes, { onStep: () => undefined, breathe: () => Promise.resolve(), now: () => clock.now });
    await expect(run).rejects.toThrow("cancelled");
    expect(closed).toBe(true);
  });
});
