import { attachHeads } from "early-exits";
import { coverageAt, measuredLevels } from "early-exits/exits";
import { createDevice } from "early-exits/node";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { coverageBeside, type DistilPoint, type Judged, LowRankModel, selfDistil } from "../../lab/beyond/index.js";
import { randomIds, smallConfigs, smallModel } from "../support/models.js";

const positions = fc.array(
  fc.record({ score: fc.integer({ min: 0, max: 5 }), exitAgrees: fc.boolean(), fullAgrees: fc.boolean() }),
  { minLength: 1, maxLength: 30 },
);

describe("what may leave beside a changed full depth", () => {
  it("is the largest share among all thresholds", () => {
    fc.assert(
      fc.property(positions, (judged) => {
        const thresholds = [Infinity, ...new Set(judged.map(({ score }) => score))];
        const shares = measuredLevels.map((level) => {
          const legal = thresholds
            .map((threshold) => {
              const leaves = ({ score }: Judged): boolean => score >= threshold;
              const right = judged.filter((one) => (leaves(one) ? one.exitAgrees : one.fullAgrees)).length;
              return { share: judged.filter(leaves).length / judged.length, right: right / judged.length };
            })
            .filter(({ right }) => right >= level - 1e-9);
          return legal.length === 0 ? null : Math.max(...legal.map(({ share }) => share));
        });
        expect(coverageBeside(judged, measuredLevels)).toEqual(shares);
      }),
    );
  });

  it("is what may leave of a frozen model if its full depth never differs", () => {
    fc.assert(
      fc.property(positions, (drawn) => {
        const judged = drawn.map((one) => ({ ...one, fullAgrees: true }));
        const scores = judged.map(({ score }) => score);
        const agrees = judged.map(({ exitAgrees }) => Number(exitAgrees));
        expect(coverageBeside(judged, measuredLevels)).toEqual(coverageAt(scores, agrees, measuredLevels));
      }),
    );
  });
});

describe("a backbone with low-rank changes", () => {
  const llama = async () => smallModel({ device: await createDevice("wasm"), config: smallConfigs["llama"]! });

  it("begins as the original, bit for bit", async () => {
    const model = await llama();
    const ids = randomIds(12, model.config.vocabSize, 1);
    const { numLayers } = model.config;
    const changed = new LowRankModel(model, 2, 1).states(ids, [1, numLayers]);
    const original = model.forward(ids, { wanted: (depth) => depth === 1 || depth === numLayers });
    for (const depth of [1, numLayers]) {
      expect(await changed.get(depth)!.read()).toEqual(await original.get(depth)!.read());
    }
    model.dispose();
  });

  it("learns with the exit, and is judged against the original, which does not change", async () => {
    const model = await llama();
    const before = await model.hash();
    const heads = attachHeads(model, { exits: [1], map: "linear", vocabulary: "full" });
    const documents = Array.from({ length: 12 }, (_, i) => ({
      ids: randomIds(16, model.config.vocabSize, i + 1),
      from: 4,
    }));
    const points: DistilPoint[] = [];
    const recipe = { rank: 2, fullWeight: 2, learningRate: 1e-2, batchSize: 2, points: 2, seed: 1 };
    await selfDistil(heads, documents, documents.slice(0, 4), recipe, { onPoint: (point) => points.push(point) });
    expect(points.map(({ tokens }) => tokens)).toEqual([0, 72, 144]);
    expect(points[0]!.full).toBe(1);
    expect(points[2]!.exit).toBeGreaterThan(points[0]!.exit);
    expect(points[2]!.full).toBeLessThan(1);
    expect(await model.hash()).toBe(before);
    model.dispose();
  });
});
