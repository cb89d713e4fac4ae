/** The race: two texts side by side, each on a clock of median times. */
import type { Page } from "playwright";
import { describe, expect, it } from "vitest";
import { race } from "../../playground/src/engine/race.js";
import { idle, press, pressAtFirst, race as startRace, says, withText, writeLossless } from "./support.js";

const laneOf = (page: Page, mode: string) => page.locator(`#lanes [data-mode=${mode}]`);
const textOf = async (page: Page, mode: string) =>
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
      await idle(page);
      await writeLossless(page);
      await startRace(page);
      expect(await textOf(page, "lossless")).toBe(await textOf(page, "plain"));
      expect(await page.locator("#race-status").textContent()).toMatch(/Both wrote the same text\.$/);
      expect(await page.locator("#verdict").textContent()).not.toContain("exits"); // it was, before lossless was chosen
      await says(page, "Both texts are the same.");
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
  const clock = { now: 0 };

  /** A run whose tokens take such times on a clock that only it moves; `ended` is called when it is closed. */
  function fake(times: readonly number[], ended = (): void => undefined) {
    async function* tokensOf() {
      try {
        for (const time of times) {
          await Promise.resolve();
          clock.now += time;
          yield { text: "a", depth: 1, exit: undefined };
        }
      } finally {
        ended();
      }
    }
    return { [Symbol.asyncIterator]: tokensOf, summary: { text: "a" } } as unknown as Run;
  }

  const raceOf = (plain: Run, lossless: Run, rounds: (number | undefined)[] = []) =>
    race(
      [
        { mode: "plain", run: plain },
        { mode: "lossless", run: lossless, takeRound: () => rounds.shift() },
      ],
      { breathe: () => Promise.resolve(), now: () => clock.now },
    );

  it("advance by the median time of a depth, or of a round with so many drafts, after the first token", async () => {
    const rounds = [1, undefined, 1, undefined, 1, undefined, 1];
    const results = await raceOf(fake([9, 30, 300, 30, 30]), fake([9, 0, 40, 0, 700, 0, 50]), rounds);
    expect(results.map(({ steps }) => steps.map(({ at }) => at))).toEqual([
      [0, 30, 60, 90, 120],
      [0, 0, 50, 50, 100, 100, 150],
    ]);
  });

  it("are all closed if one fails", async () => {
    let closed = false;
    const failing = fake([]);
    Object.defineProperty(failing, Symbol.asyncIterator, {
      async *value() {
        yield await Promise.resolve({ text: "a", depth: 1, exit: undefined });
        throw new Error("cancelled");
      },
    });
    const run = raceOf(
      fake(new Array<number>(20).fill(1), () => (closed = true)),
      failing,
    );
    await expect(run).rejects.toThrow("cancelled");
    expect(closed).toBe(true);
  });
});
