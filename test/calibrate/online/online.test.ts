/**
 * Online calibration: the error bound of ACI for any sequence, and the observer that moves the thresholds of decoding.
 */
import { fc, test } from "@fast-check/vitest";
import { attachHeads, createPolicy, generate, OptionError, onlineRecalibration } from "early-exits";
import { createReferenceDevice, createRng } from "early-exits/tensor";
import { type DecodeEvent, exitFires, scoreOf, confidenceAt } from "early-exits/exits";
import {
  aciBound,
  type AciState,
  createAci,
  createOnline,
  recordDocuments,
  stepAci,
  thresholdsOf,
} from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";

describe("ACI", () => {
  const level = fc.double({ min: 0.001, max: 0.6, noNaN: true });
  test.prop([
    level,
    fc.double({ min: 0.001, max: 1, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.array(fc.boolean(), { minLength: 1, maxLength: 400 }),
  ])("bounds the mean error of ANY sequence, if a level <= 0 permits no error", (target, gamma, alpha, wishes) => {
    let state = createAci({ target, gamma, alpha });
    for (const wish of wishes) {
      state = stepAci(state, state.alpha > 0 && wish); // the adversary errs whenever it is permitted to
      expect(state.alpha).toBeGreaterThanOrEqual(-gamma);
      expect(state.alpha).toBeLessThanOrEqual(1);
      expect(state.errors / state.steps).toBeLessThanOrEqual(aciBound(state) + 1e-12);
    }
  });

  it("has the bound target + (max(α₁, 1 - α₁) + γ) / (T γ)", () => {
    let state = createAci({ target: 0.1, gamma: 0.05, alpha: 0.3 });
    for (let t = 0; t < 1000; t++) state = stepAci(state, 0);
    expect(aciBound(state)).toBeCloseTo(0.1 + (0.7 + 0.05) / (1000 * 0.05), 12);
    expect(aciBound(createAci({ target: 0.1 }))).toBe(1);
  });

  it("nearly reaches the bound in a worst case, and breaks it if levels <= 0 permit errors (a mutant)", () => {
    let lawful = createAci({ target: 0.1, gamma: 0.01, alpha: 1 });
    let lawless = createAci({ target: 0.1, gamma: 0.01, alpha: 1 });
    for (let t = 0; t < 300; t++) {
      lawful = stepAci(lawful, lawful.alpha > 0);
      lawless = stepAci(lawless, true);
    }
    expect(lawful.errors / lawful.steps).toBeGreaterThan(0.9 * aciBound(lawful));
    expect(lawless.errors / lawless.steps).toBeGreaterThan(aciBound(lawless));
  });

  it("tracks a stream whose difficulty drifts, and survives JSON after every step", () => {
    const rng = createRng(3);
    let state = createAci({ target: 0.1 });
    let stored = createAci({ target: 0.1 });
    for (let t = 0; t < 4000; t++) {
      const hard = t < 2000 ? 0.5 : 2;
      const error = rng.uniform() < Math.max(0, state.alpha) * hard;
      state = stepAci(state, error);
      stored = JSON.parse(JSON.stringify(stepAci(stored, error))) as AciState;
    }
    expect(Math.abs(state.errors / state.steps - 0.1)).toBeLessThan(0.02);
    expect(stored).toEqual(state);
  });
});

it("rejects outcomes and options outside their ranges", () => {
  for (const bad of [NaN, -0.1, 1.1]) {
    expect(() => stepAci(createAci({ target: 0.1 }), bad)).toThrow(OptionError);
    expect(() => createAci({ target: bad })).toThrow(OptionError);
  }
});

describe("onlineRecalibration", () => {
  it("maps levels to thresholds from never to the laxest recorded score", () => {
    const policy = { score: "margin", exits: [{ depth: 1, threshold: 1 }] } as const;
    const scores = Array.from({ length: 1000 }, (_, i) => i);
    const at = (alpha: number) =>
      thresholdsOf({
        ...createOnline(policy, [scores], { target: 0.1 }),
        aci: { ...createAci({ target: 0.1 }), alpha },
      });
    expect(at(-0.01)).toEqual(["never"]);
    expect(at(0)).toEqual(["never"]);
    const levels = [0.02, 0.2, 0.5, 0.9, 1].map((alpha) => at(alpha)[0] as number);
    expect(levels).toEqual(levels.toSorted((a, b) => b - a));
    expect(levels.at(-1)).toBeLessThan(11);
    expect(() => createOnline(policy, [], { target: 0.1 })).toThrow(OptionError);
  });

  it("steps once per token of lossless decoding, drafted or not, and recovers from never", () => {
    const online = onlineRecalibration(
      createOnline({ score: "entropy", exits: [{ depth: 1, threshold: 1 }] }, [[0.1, 0.2, 0.3]], {
        target: 0.1,
        gamma: 0.5,
        alpha: 0.2,
      }),
    );
    const verified = (agrees: boolean): DecodeEvent => ({
      type: "verified",
      position: 0,
      exit: 0,
      depth: 1,
      score: 0.1,
      agrees,
    });
    online.observe({ type: "exit", position: 0, exit: 0, depth: 1, score: 0.1, left: true });
    expect(online.state.aci.steps).toBe(0);
    online.observe(verified(false));
    expect(online.thresholds!()).toEqual(["never"]);
    for (let round = 0; round < 10; round++) online.observe({ type: "round", drafted: 0, accepted: 0 });
    expect(online.state.aci).toMatchObject({ steps: 11, errors: 1 });
    expect(online.thresholds!()).not.toEqual(["never"]);
    expect(onlineRecalibration(JSON.parse(JSON.stringify(online.state)) as typeof online.state).thresholds!()).toEqual(
      online.thresholds!(),
    );
  });

  it("keeps rejected drafts within the bound during decoding, and the text stays the full model's", async () => {
    const heads = attachHeads(await smallModel({ device: createReferenceDevice() }), { exits: [1, 3], kind: "tied" });
    const { documents } = await recordDocuments(heads, [randomIds(60, 61, 4)]);
    const scores = documents[0]!.exits.map(({ stats }) =>
      Array.from({ length: 60 }, (_, t) => scoreOf(confidenceAt(stats, t), "entropy")),
    );
    const policy = createPolicy(heads, "always");
    const write = async (observer?: ReturnType<typeof onlineRecalibration>) => {
      const run = generate(heads, [1, 2, 3], {
        policy,
        lossless: true,
        maxNewTokens: 60,
        stopAtEndOfText: false,
        ...(observer && { observer }),
      });
      const ids: number[] = [];
      for await (const { id } of run) ids.push(id);
      return ids;
    };
    const online = onlineRecalibration(createOnline(policy, scores, { target: 0.1, gamma: 0.1, alpha: 0.9 }));
    expect(await write(online)).toEqual(await write());
    const { aci } = online.state;
    expect(aci.errors).toBeGreaterThan(0); // drafts of untrained heads are often rejected
    expect(aci.steps).toBeGreaterThan(40);
    expect(aci.errors / aci.steps).toBeLessThanOrEqual(aciBound(aci));
    expect(exitFires(0, "always", "entropy")).toBe(true);
  });
});
