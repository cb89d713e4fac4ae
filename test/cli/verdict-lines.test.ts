/** The verdict of a calibration says what pairs of runs say, whatever the machine did between them. */
import type { Certificate } from "early-exits";
import type { SpeedRatio } from "early-exits/evaluate";
import { expect, it } from "vitest";
import { calibrationVerdict, type Race, worthOf } from "../../apps/cli/calibration-lines.js";
import { fc, real, test } from "../support/property.js";

const certificate = {} as Certificate;

function race(ratio: SpeedRatio): Race {
  const way = { name: "plain", tokensPerSecond: 153, meanDepth: 30, blocks: 30, multiplyAdds: 1, weightBytes: 1 };
  const plain = { ...way, agreement: 1, identical: true, tokensPerRound: 1, acceptanceRate: NaN };
  return [
    { ...plain, ratio: { median: 1, low: 1, paired: 1, high: 1 } },
    { ...plain, name: "exits", tokensPerSecond: 191, ratio },
  ];
}

it("names the median of the pairs where the ratio of the medians lies outside their quartiles", () =>
  expect(calibrationVerdict(certificate, race({ median: 1.25, low: 1.13, paired: 1.134, high: 1.14 }))).toBe(
    "verdict: certified, 1.13x as fast as plain decoding (paired runs, quartiles 1.13 to 1.14); " +
      "medians 191 tokens/s against 153 tokens/s plain on this machine",
  ));

const ratios = fc.array(real(0.2, 5), { minLength: 4, maxLength: 4 });
test.prop([ratios])(
  "calls faster and slower only what most pairs are, and its number lies between its quartiles",
  ([median, ...pairs]) => {
    const [low, paired, high] = pairs.toSorted((a, b) => a - b);
    const timed = race({ median: median!, low: low!, paired: paired!, high: high! });
    const verdict = calibrationVerdict(certificate, timed);
    const [ratio, least, most] = /([\d.]+)x.*quartiles ([\d.]+) to ([\d.]+)/.exec(verdict)!.slice(1).map(Number);
    expect(least!).toBeLessThanOrEqual(ratio!);
    expect(ratio!).toBeLessThanOrEqual(most!);
    if (worthOf(timed) === "faster") expect(paired!).toBeGreaterThan(1);
    if (worthOf(timed) === "slower") expect(paired!).toBeLessThan(1);
    expect(verdict.includes("do not use it here")).toBe(worthOf(timed) === "slower");
  },
);
