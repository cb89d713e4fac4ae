/**
 * Previews: the candidates are the tokens with the largest coarse logits, their logits are exact, fitted previews are
 * the best of their rank, and heads with one decode and are calibrated.
 */
import { attachHeads, calibrate, createPolicy, type ExitHeads, generate } from "early-exits";
import { previewSize, withFirst } from "../../../src/exits/heads/head-shape.js";
import { fitPreviews, type PreviewShape, readConfidences } from "early-exits/exits";
import { createDevice } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { randomDocuments, reread, smallHeads, smallModel } from "../../support/models.js";
import { sumOf } from "../../support/lists.js";
const documents = randomDocuments(12, 24);

describe("a preview", () => {
  it("that is fitted has the smallest error of its rank on the vectors that it was fitted to", async () => {
    const model = await smallModel({ gain: 3 });
    const heads = attachHeads(model, { exits: [2], kind: "linear", preview: { rank: 4, candidates: 2 } });
    const states = documents.map((document) => model.forward(document, { toDepth: 2 }).get(2)!);
    /** Mean square error of the coarse logits. */
    const errorOf = async (perturb = 0) => {
      const head = heads.heads[0]!;
      const { previewDown, previewLift } = (await head.preview!.weights()).tensors;
      const down = (await previewDown!.read()).map((value, i) => value + perturb * Math.sin(i));
      const lift = await previewLift!.read();
      const unembedding = await model.weights.unembedding.weight.read();
      let sum = 0;
      for (const state of states) {
        const h = await head.vectors!(state).read();
        for (let r = 0; r < h.length / 24; r++) {
          const row = h.subarray(r * 24, (r + 1) * 24);
          // h minus its approximation, through U
          const rest = Float64Array.from(row);
          for (let k = 0; k < 4; k++) {
            const a = sumOf(row, (value, c) => value * down[k * 24 + c]!);
            for (let c = 0; c < 24; c++) rest[c]! -= a * lift[k * 24 + c]!;
          }
          for (let v = 0; v < 61; v++) {
            sum += sumOf(rest, (value, c) => value * unembedding[v * 24 + c]!) ** 2;
          }
        }
      }
      return sum;
    };
    const before = await errorOf();
    await fitPreviews(heads, documents, { sequenceLength: 24, batchSize: 12 });
    const best = await errorOf();
    expect(best).toBeLessThan(before);
    for (const perturb of [0.01, -0.01]) expect(await errorOf(perturb)).toBeGreaterThan(best);
  });

  it("has a margin, but no entropy", async () => {
    const heads = await smallHeads({ preview: true });
    expect(heads.scores).toEqual(["margin"]);
    await expect(calibrate(heads, documents, { score: "entropy" })).rejects.toThrow(/choose one of margin/);
    const policy = createPolicy(heads, "always", { score: "entropy" });
    await expect(async () =>
      generate(heads, [1, 2], { policy, maxNewTokens: 2 })[Symbol.asyncIterator]().next(),
    ).rejects.toThrow(/entropy, which these heads do not have; choose one of margin/);
  });
});

describe("a preview of many tokens", () => {
  it("ranks all by its first components, and the best of them by the others too", async () => {
    const model = await smallModel({ device: await createDevice("wasm"), gain: 3 });
    const states = model.forward(documents.flat().slice(0, 60)).get(4)!;
    const full = await readConfidences(model.unembed(states));
    /** The share of states whose token is found, and the bytes that are read. */
    const tried = async (size: Partial<PreviewShape>, made?: ExitHeads) => {
      const heads = made ?? attachHeads(model, { exits: [], unembeddingPreview: { rank: 24, candidates: 5, ...size } });
      const head = heads.heads[0]!;
      const found = await head.confidences(await head.logits(states));
      const right = full.filter(({ argmax }, r) => argmax === found[r]!.argmax).length / 60;
      return { heads, right, work: head.work };
    };
    const first = { rank: 8, candidates: 30 };
    const both = await tried({ first });
    const all = await tried({});
    expect(both.right + all.right).toBeCloseTo(2, 1);
    expect((await tried({ rank: 8 })).right).toBeLessThan(0.8);
    expect(both.work.multiplyAdds).toBe(24 * 24 + 8 * 61 + 16 * 30 + 5 * 24);
    expect(both.work.bytes - all.work.bytes).toBe(30 * 20); // few rows of the other components
    const { again, description } = await reread(both.heads);
    expect(description.heads[0]!.preview).toEqual({ rank: 24, candidates: 5, first });
    expect((await tried({}, again)).right).toBe(both.right);
    await expect(tried({ first: { rank: 25, candidates: 30 } })).rejects.toThrow(/first rank/);
  });

  it("has first components by default", () => {
    const large = { hiddenSize: 640, vocabSize: 262_144 };
    const size = previewSize(large, "preview");
    expect(withFirst(size, large)).toEqual({ rank: 512, candidates: 128, first: { rank: 96, candidates: 8192 } });
    expect(withFirst(size, { ...large, vocabSize: 32_000 })).toEqual(size);
  });
});

it("heads and their device may be disposed of in one go: nothing is freed on a device that is gone", async () => {
  const own = await createDevice("wasm");
  const model = await smallModel({ device: own });
  const heads = attachHeads(model, { exits: [2], kind: "linear", preview: true });
  const rejected: unknown[] = [];
  const note = (error: unknown) => void rejected.push(error);
  process.on("unhandledRejection", note);
  heads.dispose();
  model.dispose();
  await own.dispose();
  await new Promise((resolve) => setTimeout(resolve, 5));
  process.off("unhandledRejection", note);
  expect(rejected).toEqual([]);
});
