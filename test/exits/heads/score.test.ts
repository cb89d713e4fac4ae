/** Confidence scores and losses: the golden numbers of the method, directions, ties and extreme values. */
import { fc, real, test } from "../../support/property.js";
import { type HeadLoss, scoreNames } from "early-exits";
import { backward, createReferenceDevice, sum, Tensor } from "early-exits/tensor";
import { exitFires, headLoss, readConfidences, scoreDirection, scoreOf } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { topIdsOf } from "../../../src/exits/states/frequent-tokens.js";

const device = createReferenceDevice({ float64: true });
const read = (tensor: Tensor) => Array.from(tensor.storage as unknown as Float64Array);

async function scores(z: readonly number[]) {
  const [confidence] = await readConfidences(Tensor.from(createReferenceDevice(), z, [1, z.length]));
  return (["entropy", "maxProb", "probGap", "margin"] as const).map((name) => scoreOf(confidence!, name));
}

describe("scores", () => {
  it.each([
    [
      [0, 0, 0, 0],
      [1.386294361, 0.25, 0, 0],
    ],
    [
      [1, 2, 3, 4],
      [0.947536964, 0.64391426, 0.407031442, 1],
    ],
    [
      [10, 0, 0, 0],
      [0.001498003, 0.999863819, 0.999818425, 10],
    ],
    [
      [2, 1, 0.5, -1],
      [1.014402776, 0.609460038, 0.38525222, 1],
    ],
    [
      [1000, 0, 0],
      [0, 1, 1, 1000],
    ],
  ])("of %j are entropy, maxProb, probGap, margin %j", async (z, golden) =>
    (await scores(z)).forEach((value, i) => expect(value).toBeCloseTo(golden[i]!, 6)),
  );

  it("mean confidence if low (entropy) or high (the others), and are compared inclusively", () => {
    expect(scoreNames.map(scoreDirection)).toEqual(["low", "high", "high", "high"]);
    const fires = [0.49, 0.5, 0.51].map((score) => [exitFires(score, 0.5, "entropy"), exitFires(score, 0.5, "margin")]);
    expect(fires).toEqual([
      [true, false],
      [true, true],
      [false, true],
    ]);
    expect([
      exitFires(0, "never", "entropy"),
      exitFires(99, "always", "entropy"),
      exitFires(NaN, 1, "entropy"),
    ]).toEqual([false, true, false]);
  });

  test.prop([fc.array(real(-1000, 1000), { minLength: 2, maxLength: 30 })])(
    "are finite and in range for any logits",
    async (z) => {
      const [entropy, maxProb, probGap, margin] = await scores(z);
      expect(entropy).toBeGreaterThanOrEqual(0);
      expect(entropy).toBeLessThanOrEqual(Math.log(z.length) + 1e-4);
      expect(maxProb).toBeLessThanOrEqual(1 + 1e-4);
      expect(probGap).toBeGreaterThanOrEqual(0);
      expect(margin).toBeGreaterThanOrEqual(0);
    },
  );
});

/** Loss and gradient of one row. */
function lossOf(teacher: readonly number[], student: readonly number[], loss: HeadLoss) {
  const t = Tensor.from(device, teacher, [1, teacher.length]);
  const s = Tensor.from(device, student, [1, student.length], { requiresGrad: true });
  const best = teacher.indexOf(Math.max(...teacher));
  const topK = loss.kind === "kl" ? (loss.topK ?? 0) : 0;
  const total = sum(
    headLoss(
      { logits: t, argmax: [best], topIds: topIdsOf(Float32Array.from(teacher), teacher.length, topK) },
      s,
      loss,
    ),
  );
  backward(total);
  return { value: read(total)[0]!, gradient: read(s.grad!) };
}

describe("losses", () => {
  const t = [1, 2, 3, 4];
  const s = [2, 1, 0.5, -1];

  it("KL has its golden value and gradient, reverse and top-2 too", () => {
    const { value, gradient } = lossOf(t, s, { kind: "kl" });
    expect(value).toBeCloseTo(1.92185626, 8);
    [0.57740143, 0.1370635, -0.1008939, -0.61357103].forEach((golden, i) => expect(gradient[i]).toBeCloseTo(golden, 7));
    expect(lossOf(s, t, { kind: "kl" }).value).toBeCloseTo(1.838571588, 8);
    const top2 = lossOf(t, s, { kind: "kl", topK: 2 });
    expect(top2.value).toBeCloseTo(0.715798037, 8);
    expect(top2.gradient.slice(0, 2)).toEqual([0, 0]);
  });

  it("the penalised cross-entropy has its golden values and gradient (y = 0)", () => {
    const y0 = [9, 0, 0, 0];
    const { value, gradient } = lossOf(y0, s, { kind: "penalized", weight: 0.5 });
    expect(value).toBeCloseTo(-0.259610439, 8);
    [-0.03704779, 0.05820669, 0.00130691, -0.02246581].forEach((golden, i) =>
      expect(gradient[i]).toBeCloseTo(golden, 7),
    );
    expect(lossOf(y0, s, { kind: "penalized", weight: 0 }).value).toBeCloseTo(0.495181898, 8);
    expect(lossOf(y0, s, { kind: "penalized", weight: 1 }).value).toBeCloseTo(-1.014402776, 8);
  });

  it.each([
    [0.1, 0.7527, 11.957],
    [0.5, 0.1138, 8.791],
    [0.9, 0.01645, 6.753],
  ])("with w = %d is stationary at q·m = (1-w)/w: q %d, margin %d (V = 51200)", (w, q, m) => {
    // For a constant target all other logits are equal, and the margin m = log(q / ((1 - q)/(V - 1))).
    const others = 51_200 - 1;
    expect(1 / (1 + others * Math.exp(-m))).toBeCloseTo(q, 3);
    // The gradient with respect to the target's logit changes its sign there.
    const teacher = [1, ...Array<number>(others).fill(0)];
    const [below, above] = [m - 1e-3, m + 1e-3].map(
      (margin) => lossOf(teacher, teacher.with(0, margin), { kind: "penalized", weight: w }).gradient[0]!,
    );
    expect(below! * above!).toBeLessThan(0);
  });

  it("temperature softens both sides", () => {
    const soft = lossOf(t, s, { kind: "kl", temperature: 2 }).value;
    expect(soft).toBeCloseTo(
      lossOf(
        t.map((v) => v / 2),
        s.map((v) => v / 2),
        { kind: "kl" },
      ).value,
      10,
    );
  });
});
