/**
 * Shortlist heads: their statistics are those of the whole distribution that they stand for, their targets keep the
 * probability of every bucket, and they never emit unlisted tokens.
 */
import { fc, test } from "@fast-check/vitest";
import { attachHeads, createPolicy, generate, trainHeads, type TrainStep } from "early-exits";
import { createReferenceDevice, rowStats, softmax, Tensor } from "early-exits/tensor";
import { createTeacher, frequentTokens, scoreOf } from "early-exits/exits";
import { recordDocuments } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { shortlistSpace } from "../../../src/exits/heads/vocabularies/shortlist-space.js";
import { confidenceAt } from "../../../src/exits/heads/score.js";
import { randomIds, smallModel } from "../../support/models.js";

const device = createReferenceDevice();
const logit = fc.double({ min: -20, max: 20, noNaN: true });

describe("statistics", () => {
  test.prop([fc.array(logit, { minLength: 1, maxLength: 8 }), logit, fc.integer({ min: 1, max: 40 })])(
    "are those of a distribution that spreads the rest evenly over the unlisted tokens",
    async (listed, rest, unlisted) => {
      const ids = listed.map((_, i) => 2 * i + 1);
      const vocabSize = listed.length + unlisted;
      const logits = Tensor.from(device, [...listed, rest], [1, listed.length + 1]);
      const stats = await shortlistSpace(ids, vocabSize).readStats(logits);
      const whole = await rowStats(
        Tensor.from(
          device,
          [...listed, ...new Array<number>(unlisted).fill(rest - Math.log(unlisted))],
          [1, vocabSize],
        ),
      ).read();
      const ours = confidenceAt(stats, 0);
      const full = confidenceAt(whole, 0);
      expect(ours.logSumExp).toBeCloseTo(full.logSumExp, 4);
      expect(ours.entropy).toBeCloseTo(full.entropy, 3);
      const stored = listed.map(Math.fround);
      expect(ours.argmax).toBe(ids[stored.indexOf(Math.max(...stored))]);
      // The rest competes as a whole: if it is most likely, every score is low.
      if (rest > Math.max(...listed) + 1e-3) {
        expect(scoreOf(ours, "margin")).toBeLessThan(0);
        expect(scoreOf(ours, "probGap")).toBeLessThan(0);
        expect(scoreOf(ours, "maxProb")).toBeLessThan(0.5);
      }
    },
  );
});

describe("targets", () => {
  it("keep the probability of every bucket, and name the teacher's choice by its bucket", async () => {
    const model = await smallModel({ device });
    const teacher = await createTeacher(model, model.forward(randomIds(9, 61, 3)).get(4)!, { topK: 5 });
    const shortlist = [0, 7, 20, 33, teacher.argmax[2]!].toSorted((a, b) => a - b);
    const reduced = await shortlistSpace(shortlist, 61).targetOf(teacher);
    const p = await softmax(teacher.logits).read();
    const q = await softmax(reduced.logits).read();
    for (let r = 0; r < 9; r++) {
      shortlist.forEach((id, i) => expect(q[r * 6 + i]).toBeCloseTo(p[r * 61 + id]!, 5));
      expect(q[r * 6 + 5]).toBeCloseTo(
        p.slice(r * 61, (r + 1) * 61).reduce((sum, share, id) => sum + (shortlist.includes(id) ? 0 : share), 0),
        5,
      );
      const bucket = shortlist.indexOf(teacher.argmax[r]!);
      expect(reduced.argmax[r]).toBe(bucket < 0 ? 5 : bucket);
    }
    expect(reduced.topIds).toHaveLength(9 * 5);
  });

  it.each([{ kind: "kl" }, { kind: "kl", topK: 3 }, { kind: "penalized", weight: 0.3 }] as const)(
    "lowers the loss %j",
    async (loss) => {
      const model = await smallModel({ device });
      const documents = Array.from({ length: 6 }, (_, i) => randomIds(24, 61, i));
      const heads = attachHeads(model, {
        exits: [2],
        kind: "shortlist",
        shortlist: await frequentTokens(model, documents, 12),
      });
      const steps: TrainStep[] = [];
      await trainHeads(heads, documents, {
        steps: 25,
        batchSize: 6,
        sequenceLength: 24,
        learningRate: 0.02,
        loss,
        onStep: (step) => steps.push(step),
      });
      expect(steps.at(-1)!.loss).toBeLessThan(steps[0]!.loss);
    },
  );
});

describe("decoding", () => {
  it("emits listed tokens only, greedy or sampled; records compare them by their ids in the vocabulary", async () => {
    const model = await smallModel({ device });
    const documents = Array.from({ length: 4 }, (_, i) => randomIds(20, 61, i));
    const shortlist = await frequentTokens(model, documents, 10);
    const heads = attachHeads(model, { exits: [1, 3], kind: "shortlist", shortlist });
    for (const temperature of [0, 1]) {
      for await (const { id, depth } of generate(heads, [1, 2, 3], {
        policy: createPolicy(heads, "always"),
        temperature,
        maxNewTokens: 15,
        stopAtEndOfText: false,
      })) {
        expect(depth).toBe(1);
        expect(shortlist).toContain(id);
      }
    }
    const { documents: records } = await recordDocuments(heads, documents);
    const best = await createTeacher(model, model.forward(documents[0]!).get(4)!);
    records[0]!.exits[1]!.agrees.forEach((agrees, t) => {
      const { argmax } = confidenceAt(records[0]!.exits[1]!.stats, t);
      expect(shortlist).toContain(argmax);
      expect(agrees).toBe(Number(argmax === best.argmax[t]));
    });
  });

  it("gives unlisted tokens no logit", async () => {
    const buckets = Tensor.from(device, [1, 2, 9, 3, 4, 9], [2, 3]);
    const logits = await shortlistSpace([0, 2], 4).readLogits(buckets);
    const none = -Infinity;
    expect(Array.from(logits)).toEqual([...[1, none, 2, none], ...[3, none, 4, none]]);
  });
});

describe("the list", () => {
  it("holds the tokens that the model predicts most often, and those that end a text", async () => {
    const model = await smallModel({ device });
    const documents = [randomIds(40, 61, 5), randomIds(30, 61, 6)];
    const counts = new Map<number, number>();
    for (const document of documents) {
      for (const id of (await createTeacher(model, model.forward(document).get(4)!)).argmax) {
        counts.set(id, (counts.get(id) ?? 0) + 1);
      }
    }
    const list = await frequentTokens(model, documents, 5);
    const { eosTokenIds } = model.config;
    expect(list).toEqual(expect.arrayContaining([...eosTokenIds]));
    const least = Math.min(...list.filter((id) => !eosTokenIds.includes(id)).map((id) => counts.get(id) ?? 0));
    for (const [id, count] of counts) {
      if (!list.includes(id)) expect(count).toBeLessThanOrEqual(least);
    }
    expect(list).toEqual(list.toSorted((a, b) => a - b));
  });

  it("consists of different ids of the vocabulary, but not all of them", async () => {
    const model = await smallModel({ device });
    for (const shortlist of [[1, 1], [61], [-1], []]) {
      expect(() => attachHeads(model, { kind: "shortlist", shortlist })).toThrow(/different token ids in \[0, 61\)/);
    }
    expect(attachHeads(model, { kind: "shortlist", shortlist: [9, 3] }).heads[0]!.shape).toEqual({
      map: "none",
      vocabulary: "trainedShortlist",
      inner: 0,
      shortlist: [3, 9],
    });
  });
});
