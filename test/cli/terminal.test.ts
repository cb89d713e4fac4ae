/** Colours, progress and numbers. */
import { describe, expect, it } from "vitest";
import { depthColors, depthHistogram } from "../../apps/cli/depth-colors.js";
import { count, duration, percent, table } from "../../apps/cli/format.js";
import { wantsColor } from "../../apps/cli/process-io.js";
import { type ReportProgress, withProgress } from "../../apps/cli/progress.js";
import { testIo } from "./support.js";

describe("colour", () => {
  it.each([
    [{}, true, true],
    [{}, false, false],
    [{ NO_COLOR: "1" }, true, false],
    [{ NO_COLOR: "" }, true, true],
    [{ FORCE_COLOR: "1" }, false, true],
    [{ FORCE_COLOR: "1", NO_COLOR: "1" }, false, true],
    [{ FORCE_COLOR: "0" }, true, false],
    [{ TERM: "dumb" }, true, false],
  ])("in %j, on a terminal: %s, is wanted: %s", (environment, terminal, wanted) =>
    expect(wantsColor(environment, terminal)).toBe(wanted),
  );

  it("differs from exit to exit; full depth is plain", () => {
    const colors = depthColors({ color: true }, [2, 4, 6], 6);
    expect(new Set([2, 4, 6].map((depth) => colors.paint("x", depth))).size).toBe(3);
    expect(colors.paint("x", 6)).toBe("x");
    expect(depthColors({ color: false }, [2], 6).paint("x", 2)).toBe("x");
  });

  it("of a histogram's bars is that of their depth; every depth that occurs has a line", () =>
    expect(depthHistogram([0, 0, 3, 0, 1], depthColors({ color: false }, [2], 4))).toEqual([
      `  depth  2  ${"#".repeat(23)} 3 (75.0 %)`,
      `  depth  4  ${"#".repeat(8)} 1 (25.0 %)`,
    ]));
});

describe("progress", () => {
  const work = async (isTTY: boolean) => {
    const io = testIo({ isTTY, tick: 50 });
    await withProgress(io, "train", async (report) => {
      for (let done = 1; done <= 100; done++) await report({ done, total: 100, text: "loss 1" });
    });
    return io.err();
  };

  it("prints a plain line every few seconds if there is no terminal, the first and the last among them", async () => {
    const lines = (await work(false)).trimEnd().split("\n");
    expect(lines[0]).toBe("train 1/100  loss 1"); // nothing is known yet of the time left
    expect(lines[1]).toMatch(/^train \d+\/100 {2}loss 1, \d+ s left$/);
    expect(lines.at(-1)).toBe("train 100/100  loss 1");
    expect(lines.length).toBeGreaterThan(2);
    expect(lines.length).toBeLessThan(10);
    expect(lines.join("")).not.toContain("\r");
  });

  /** Draws work of `seconds(i)` for each of 100 parts; every estimate over the time that was really left. */
  const ratios = async (seconds: (part: number) => number) => {
    let clock = 0;
    const shown: { readonly at: number; readonly left: number }[] = [];
    const io = {
      ...testIo({ isTTY: true }),
      now: () => 1000 * clock,
      stderr: {
        write(line: string) {
          const left = /, (?:(\d+) min )?(\d+) s left/.exec(line);
          if (left !== null) shown.push({ at: clock, left: 60 * Number(left[1] ?? 0) + Number(left[2]) });
        },
      },
    };
    await withProgress(io, "work", async (report) => {
      for (let done = 1; done <= 100; done++) {
        clock += seconds(done);
        await report({ done, total: 100 });
      }
    });
    expect(shown.length).toBeGreaterThan(60);
    // Rounded to seconds, the last few say nothing.
    return shown.filter(({ at }) => clock - at > 10).map(({ at, left }) => left / (clock - at));
  };

  it("estimates the time left within a factor of 1.5, for work that is even, starts late, or varies", async () => {
    const works: readonly ((part: number) => number)[] = [
      () => 2,
      (part) => (part === 1 ? 6 : 2), // code is compiled
      (part) => (part === 1 ? 30 : 2), // nothing is finished for a while
      (part) => 2 + Math.sin(part), // documents of different lengths
    ];
    for (const [i, work] of works.entries()) {
      // A late start is forgotten once it is less than half of the time so far.
      const settled = (await ratios(work)).slice(15);
      expect(Math.max(...settled), `work ${i}`).toBeLessThan(1.5);
      expect(Math.min(...settled), `work ${i}`).toBeGreaterThan(1 / 1.5);
    }
  });

  it("redraws one line with a bar on a terminal", async () => {
    const drawn = await work(true);
    expect(drawn.split("\n").length).toBe(2);
    expect(drawn).toContain(`\rtrain [${"#".repeat(24)}] 100/100  loss 1\x1b[K\n`);
  });

  it("shows the last state and ends the line after an error, and passes on the error", async () => {
    const io = testIo({ isTTY: true, tick: 1 });
    const work = withProgress(io, "train", async (report) => {
      await report({ done: 1, total: 3 });
      await report({ done: 2, total: 3 });
      throw new Error("interrupted");
    });
    await expect(work).rejects.toThrow("interrupted");
    expect(io.err()).toMatch(/\[#{16}\.{8}\] 2\/3\x1b\[K\n$/);
  });

  it("shows nothing of work that ends within the caller's patience, and the rest of work that does not", async () => {
    const after = async (steps: number) => {
      const io = testIo({ isTTY: true, tick: 10 });
      const work = async (report: ReportProgress) => {
        for (let done = 1; done <= steps; done++) await report({ done, total: steps });
      };
      await withProgress(io, "load", work, { patience: 1000 });
      return io.err();
    };
    expect(await after(5)).toBe("");
    expect(await after(500)).toMatch(/^\rload .*\[#{24}\] 500\/500\x1b\[K\n$/s);
  });
});

it("numbers are short", () => {
  expect([0, 9999, 12_345, 1_234_567, 2e9].map(count)).toEqual(["0", "9999", "12.3 k", "1.23 M", "2.00 G"]);
  expect([percent(0.951), percent(1, 0), percent(NaN), percent(null), percent(undefined)]).toEqual([
    "95.1 %",
    "100 %",
    "-",
    "-",
    "-",
  ]);
  expect([3, 200, 7500].map(duration)).toEqual(["3 s", "3 min 20 s", "2 h 5 min"]);
  expect(
    table([
      ["a", "bb"],
      ["ccc", "d"],
    ]),
  ).toEqual(["  a    bb", "  ccc   d"]);
});
