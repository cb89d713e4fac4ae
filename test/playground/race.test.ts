/** The race: two texts side by side, each on a clock of its own. */
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { race } from "../../playground/src/engine/race.js";
import type { RaceStep } from "../../playground/src/engine/index.js";
import { idle, press, pressAtFirst, race as startRace, withText, writeLossless } from "./support.js";

const laneOf = (page: Page, mode: string) => page.locator(`#lanes [data-mode=${mode}]`);
const textOf = async (page: Page, mode: string): Promise<string> =>
  (await laneOf(page, mode).locator(".text").textContent())!.replaceAll("\u200b", "");

describe("the race", () => {
  it("writes what plain and exits write, and says which was faster", () =>
    withText(async (page, text) => {
      await idle(page);
      await startRace(page);
      expect((await textOf(page, "exits")).endsWith(text)).toBe(true);
      for (const mode of ["plain", "exits"]) {
        expect(await laneOf(page, mode).locator(".clock").textContent()).toMatch(/^\d+ tokens in \d+\.\d ms, done$/);
      }
      expect(await page.locator("#race-status").textContent()).toMatch(/The texts differ\.$|wrote the same text\.$/);
    }));

  it("of lossless against plain ends with the same text", () =>
    withText(async (page) => {
      await writeLossless(page);
      await startRace(page);
      expect(await textOf(page, "lossless")).toBe(await textOf(page, "plain"));
      expect(await page.locator("#race-status").textContent()).toMatch(/Both wrote the same text\.$/);
    }));

  it("shows two cursors in slow motion, and stops when asked", () =>
    withText(async (page) => {
      await idle(page);
      await page.getByRole("checkbox", { name: "Slow motion" }).check();
      await page.getByRole("spinbutton", { name: "Tokens" }).fill("200"); // 9 seconds in slow motion
      const lane = ".lane:has(.token):has(.cursor)";
      await pressAtFirst(page, `${lane} ~ ${lane}`, "#race-stop");
      await press(page, "Start the race");
      await page.locator("#race-status", { hasText: "Stopped." }).waitFor();
      expect(await laneOf(page, "plain").locator(".token").count()).toBeLessThan(200);
      await page.getByRole("button", { name: "Start the race" }).waitFor();
    }));
});

describe("the lanes of a race", () => {
  type Run = Parameters<typeof race>[0][number]["run"];

  /** A run whose tokens take `cost` on a clock that only it moves; `ended` is called when it is closed. */
  function fake(tokens: number, cost: number, clock: { now: number }, ended = (): void => undefined) {
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

  /** Races runs of so many tokens at such a cost, plain and with exits. */
  const raceOf = (
    clock: { now: number },
    [plain, exits]: readonly [Run, Run],
    onStep: (step: RaceStep) => void = () => undefined,
  ) =>
    race(
      [
        { mode: "plain", run: plain },
        { mode: "exits", run: exits },
      ],
      { onStep, breathe: () => Promise.resolve(), now: () => clock.now },
    );

  it("each have a clock that counts their own tokens only, after the first", async () => {
    const clock = { now: 0 };
    const steps: RaceStep[] = [];
    const results = await raceOf(clock, [fake(5, 30, clock), fake(9, 10, clock)], (step) => steps.push(step));
    expect(results.map(({ milliseconds }) => milliseconds)).toEqual([4 * 30, 8 * 10]);
    const times = (wanted: number): number[] => steps.filter(({ lane }) => lane === wanted).map(({ at }) => at);
    expect(times(0)).toEqual([0, 30, 60, 90, 120]);
    expect(times(1)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80]);
  });

  it("never let one lane run ahead by more than one token", async () => {
    const clock = { now: 0 };
    const at = [0, 0];
    await raceOf(clock, [fake(50, 7, clock), fake(200, 3, clock)], ({ lane, at: time }) => {
      at[lane] = time;
      if (at.every((one) => one < 49 * 7)) expect(Math.abs(at[0]! - at[1]!)).toBeLessThanOrEqual(7);
    });
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
    const run = raceOf(clock, [fake(50, 1, clock, () => (closed = true)), failing]);
    await expect(run).rejects.toThrow("cancelled");
    expect(closed).toBe(true);
  });
});
