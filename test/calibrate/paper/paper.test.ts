/** The paper's calibration: its golden thresholds, ties, the released file format, and its defects, shown. */
import { fc, test } from "@fast-check/vitest";
import { attachHeads, calibrate } from "early-exits";
import { createReferenceDevice, createRng } from "early-exits/tensor";
import { confidenceAt } from "early-exits/exits";
import {
  calibrateRecords,
  type CalibrationRecords,
  fromReleasedCalibration,
  paperThreshold,
  playPolicy,
  policyFrom,
  recordDocuments,
  toReleasedCalibration,
} from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { paperStrategies } from "../../../src/calibrate/paper/paper.js";
import { randomIds, smallModel } from "../../support/models.js";

/** Of records made by hand. */
const subject = {
  modelHash: "",
  headsHash: "",
  dtype: "float32",
  backend: "reference",
  ledger: { block: 1, heads: [1, 1], unembedding: 1, fills: {} },
} as const;

const u = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
const c = [1, 1, 0, 1, 1, 1, 0, 0].map(Boolean);

describe("paperThreshold", () => {
  it("has the golden thresholds", () => {
    expect(paperThreshold(u, c, 0.8)).toBe(0.6);
    expect(paperThreshold(u, c, 0.8, { strategy: "minCoverage" })).toBe(0.1);
    expect(paperThreshold(u, c, 0.8, { strategy: "midpoint" })).toBeCloseTo(0.65, 12);
    expect(paperThreshold(u, c, 0.9)).toBe(0.2);
    expect(paperThreshold(u, c, 0.7)).toBe(0.7);
  });

  it("reads other scores in their own direction", () => {
    expect(
      paperThreshold(
        u.map((value) => 1 - value),
        c,
        0.8,
        { score: "maxProb" },
      ),
    ).toBeCloseTo(0.4, 12);
    expect(
      paperThreshold(
        u.map((value) => -value),
        c,
        0.8,
        { score: "margin", strategy: "midpoint" },
      ),
    ).toBeCloseTo(-0.65, 12);
  });

  it("a head that never reaches the level gets never", () => {
    for (const strategy of paperStrategies) {
      expect(
        paperThreshold(
          u,
          c.map(() => false),
          0.8,
          { strategy },
        ),
      ).toBe("never");
    }
    for (const strategy of paperStrategies) expect(paperThreshold([], [], 0.8, { strategy })).toBe("never");
  });

  it("the logistic fit finds the level where agreement follows a logistic curve", () => {
    const rng = createRng(3);
    const scores = Array.from({ length: 20_000 }, () => 4 * rng.uniform());
    const agrees = scores.map((score) => rng.uniform() < 1 / (1 + Math.exp(-(5 - 2 * score))));
    for (const level of [0.6, 0.8, 0.95]) {
      const exact = (5 - Math.log(level / (1 - level))) / 2;
      expect(Math.abs((paperThreshold(scores, agrees, level, { strategy: "platt" }) as number) - exact)).toBeLessThan(
        0.08,
      );
    }
  });

  it("and clips to the scores it saw", () => {
    const agrees = u.map((value) => value < 0.75);
    expect(
      paperThreshold(
        u,
        u.map(() => true),
        0.9,
        { strategy: "platt" },
      ),
    ).toBe(0.8);
    const threshold = paperThreshold(u, agrees, 0.5, { strategy: "platt" }) as number;
    expect(threshold).toBeGreaterThan(0.6);
    expect(threshold).toBeLessThanOrEqual(0.8);
  });

  test.prop([
    fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), fc.boolean()), { minLength: 1, maxLength: 40 }),
    fc.double({ min: 0.05, max: 0.99, noNaN: true }),
    fc.nat(),
  ])(
    "equal scores are one block: the order of tied positions changes nothing, and the level holds where it says",
    (points, level, seed) => {
      const shuffled = createRng(seed).shuffle(points);
      for (const strategy of ["maxCoverage", "minCoverage", "midpoint"] as const) {
        const of = (list: typeof points) =>
          paperThreshold(
            list.map(([score]) => score),
            list.map(([, agree]) => agree),
            level,
            { strategy },
          );
        expect(of(shuffled)).toBe(of(points));
      }
      const threshold = paperThreshold(
        points.map(([score]) => score),
        points.map(([, agree]) => agree),
        level,
      );
      const leaving = points.filter(([score]) => threshold !== "never" && score <= (threshold as number));
      if (threshold !== "never") {
        expect(leaving.filter(([, agree]) => agree).length / leaving.length).toBeGreaterThanOrEqual(level);
      }
      // Maximal: no laxer observed score would do.
      for (const [score] of points.filter(([value]) => threshold === "never" || value > (threshold as number))) {
        const laxer = points.filter(([value]) => value <= score);
        expect(laxer.filter(([, agree]) => agree).length / laxer.length).toBeLessThan(level);
      }
    },
  );

  it("refuses NaN, unequal lengths, unknown strategies and illegal levels", () => {
    expect(() => paperThreshold([NaN], [true], 0.9)).toThrow(/NaN/);
    expect(() => paperThreshold([1, 2], [true], 0.9)).toThrow(/2 scores but 1 agreements/);
    expect(() => paperThreshold(u, c, 1.2)).toThrow(/level/);
    expect(() => paperThreshold(u, c, 0.9, { strategy: "best" as "midpoint" })).toThrow(
      /choose one of maxCoverage, minCoverage, midpoint, platt/,
    );
  });
});

describe("what is wrong with it", () => {
  it.each([200, 1000, 5000])(
    "misses its target in about half of the draws of %d (selective accuracy 1 - .2τ², target .9)",
    (n) => {
      // Score uniform on [0, 1]; P(agree | u) = 1 - .6u², so the agreement among u <= τ is 1 - .2τ²; it is .9 at τ =
      // √.5.
      const rng = createRng(n);
      const draws = 400;
      let misses = 0;
      for (let draw = 0; draw < draws; draw++) {
        const scores = Array.from({ length: n }, () => rng.uniform());
        const threshold = paperThreshold(
          scores,
          scores.map((score) => rng.uniform() < 1 - 0.6 * score * score),
          0.9,
        );
        if (typeof threshold === "number" && 1 - 0.2 * threshold ** 2 < 0.9) misses++;
      }
      // The method's measurement is 51 to 53 %; four standard errors of 400 draws are 10 %.
      expect(Math.abs(misses / draws - 0.52)).toBeLessThan(0.1);
    },
  );

  it("judges the second head on tokens that it never answers: marginal agreement .91, on its own tokens far less", async () => {
    // Nine in twenty tokens are easy: both heads are sure and right. On the rest the second head is as sure, and right
    // .835 of the time.
    const rng = createRng(5);
    const exit = (entropies: number[], agrees: boolean[]) => ({
      stats: Float32Array.from(entropies.flatMap((entropy) => [0, 0, 0, 0, entropy])),
      agrees: Uint8Array.from(agrees, Number),
    });
    const tokens = Array.from({ length: 40_000 }, () => ({ easy: rng.uniform() < 0.45, right: rng.uniform() < 0.835 }));
    const records: CalibrationRecords = {
      ...subject,
      depths: [1, 2],
      numLayers: 3,
      sequenceLength: 256,
      documents: [
        {
          hash: "",
          positions: tokens.length,
          exits: [
            exit(
              tokens.map(({ easy }) => (easy ? 0.1 : 5)),
              tokens.map(({ easy }) => easy),
            ),
            exit(
              tokens.map(() => 0.1),
              tokens.map(({ easy, right }) => easy || right),
            ),
          ],
        },
      ],
    };
    const { certificate } = await calibrateRecords(records, { procedure: "paper", agreement: 0.9 });
    expect(certificate.guarantee).toBe("none");
    const [first, second] = certificate.measured.exits;
    expect(first!.agreement).toBe(1);
    expect(second!.left).toBeGreaterThan(20_000);
    expect(second!.agreement).toBeLessThan(0.85); // promised .9
  });
});

describe("calibrate, procedure paper", () => {
  const setup = async () => {
    const model = await smallModel({ device: createReferenceDevice() });
    const heads = attachHeads(model, { exits: [1, 3] });
    return { heads, documents: Array.from({ length: 6 }, (_, i) => randomIds(20 + i, 61, i)) };
  };

  it("records every position: argmax, agreement with the full model, and scores", async () => {
    const { heads, documents } = await setup();
    const records = await recordDocuments(heads, documents);
    expect(records.documents.map(({ positions }) => positions)).toEqual(documents.map(({ length }) => length));
    const full = await heads.model.logits(documents[2]!);
    const state = heads.model.forward(documents[2]!, { toDepth: 3 }).get(3)!;
    const lens = await heads.model.unembed(state).read();
    const best = (values: Float32Array, t: number): number => {
      const row = values.subarray(t * 61, (t + 1) * 61);
      return row.indexOf(row.reduce((max, value) => Math.max(max, value), -Infinity));
    };
    const exit = records.documents[2]!.exits[1]!;
    expect(documents[2]!.map((_, t) => confidenceAt(exit.stats, t).argmax)).toEqual(
      documents[2]!.map((_, t) => best(lens, t)),
    );
    expect(Array.from(exit.agrees)).toEqual(documents[2]!.map((_, t) => Number(best(lens, t) === best(full, t))));
  });

  it("long documents are judged window by window", async () => {
    const { heads } = await setup();
    const long = randomIds(50, 61, 9);
    const whole = await recordDocuments(heads, [long], { sequenceLength: 20 });
    const cut = await recordDocuments(heads, [long.slice(20, 40)]);
    expect(whole.documents[0]!.positions).toBe(50);
    expect(whole.documents[0]!.exits[0]!.stats.slice(100, 200)).toEqual(cut.documents[0]!.exits[0]!.stats);
  });

  it("gives a policy bound to model and heads, and a report that promises nothing", async () => {
    const { heads, documents } = await setup();
    const { policy, certificate } = await calibrate(heads, documents, { procedure: "paper", agreement: 0.5 });
    expect([policy.modelHash, policy.headsHash]).toEqual([await heads.model.hash(), await heads.hash()]);
    expect(certificate).toMatchObject({ procedure: "paper", guarantee: "none", agreement: 0.5 });
    expect(certificate.measured.exits.map(({ reached }) => reached)[0]).toBe(certificate.measured.positions);
    expect(policyFrom(JSON.parse(JSON.stringify({ policy, certificate })))).toEqual(policy);
    expect(policyFrom(JSON.parse(JSON.stringify(policy)))).toEqual(policy);
  });

  it("never leaving is the full model: agreement 1, mean depth L", async () => {
    const { heads, documents } = await setup();
    const records = await recordDocuments(heads, documents);
    const outcome = playPolicy(records, {
      score: "margin",
      exits: [
        { depth: 1, threshold: "never" },
        { depth: 3, threshold: "never" },
      ],
    });
    expect([outcome.agreement, outcome.coverage, outcome.meanDepth, outcome.documentAgreement]).toEqual([1, 0, 4, 1]);
  });

  it("refuses levels outside (0, 1), empty documents and files that are no policy", async () => {
    const { heads, documents } = await setup();
    await expect(calibrate(heads, documents, { procedure: "paper", agreement: 1 })).rejects.toThrow(
      /agreement: expected a number in \(0, 1\), found 1/,
    );
    await expect(calibrate(heads, [[]], { procedure: "paper" })).rejects.toMatchObject({ code: "documents-empty" });
    expect(() => policyFrom({ format: "something" })).toThrow(/expected \{"format": "early-exits\/policy"/);
    expect(() => policyFrom(null)).toThrow(/policy/);
  });
});

describe("the released code's file", () => {
  it("is written in its schema and read back into the same thresholds", async () => {
    const model = await smallModel({ device: createReferenceDevice() });
    const heads = attachHeads(model, { exits: [1, 3] });
    const records = await recordDocuments(heads, [randomIds(60, 61, 1), randomIds(60, 61, 2)]);
    for (const [metric, score] of [
      ["entropy", "entropy"],
      ["confidence", "maxProb"],
    ] as const) {
      const file = JSON.parse(
        JSON.stringify(toReleasedCalibration(records, { metric, levels: [0.05, 0.9], calibrationDataset: "random" })),
      ) as ReturnType<typeof toReleasedCalibration>;
      expect(Object.keys(file)).toEqual([
        "model_config_path",
        "calibration_dataset",
        "calibration_samples",
        "uncertainty_metric",
        "accuracy_levels",
        "thresholds",
        "statistics",
      ]);
      expect(Object.keys(file.thresholds)).toEqual(["0.05", "0.90"]);
      expect(file.statistics["1"]!.num_samples).toBe(120);
      if (metric === "confidence") expect(file.statistics["0"]!.mean_uncertainty).toBeLessThan(0);
      const policy = fromReleasedCalibration(file, heads, 0.05);
      const { policy: ours } = await calibrateRecords(records, { procedure: "paper", agreement: 0.05, score });
      expect(policy.exits).toEqual(ours.exits);
      expect(policy.score).toBe(score);
    }
    const file = toReleasedCalibration(records, { levels: [0.9] });
    expect(() => fromReleasedCalibration(file, heads, 0.75)).toThrow(/level 0.75 is not among 0.90/);
    expect(() => fromReleasedCalibration({}, heads, 0.75)).toThrow(/uncertainty_metric/);
    expect(() => fromReleasedCalibration({ ...file, thresholds: { "0.90": { "2": 1 } } }, heads, 0.9)).toThrow(
      /head 2, the model has 2 heads/,
    );
    expect(
      fromReleasedCalibration({ ...file, thresholds: { "0.90": {} } }, heads, 0.9).exits.map(
        ({ threshold }) => threshold,
      ),
    ).toEqual(["never", "never"]);
  });
});
