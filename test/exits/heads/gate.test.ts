/** Gates learn to predict whether their heads agree, and are a score like the others, but one that saves heads. */
import {
  attachHeads,
  calibrate,
  createModel,
  createPolicy,
  type ExitHeads,
  generate,
  loadModel,
  measureUnitTimes,
  type Model,
  pretrain,
  reportAgreement,
  serializeHeads,
  trainGates,
  verifyCertificate,
} from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import {
  byteTokenizer,
  llamaConfigJson,
  LOSS_UNIT,
  memorySource,
  serializeModel,
  tokenStream,
} from "early-exits/model";
import type { GateStep } from "early-exits/exits";
import { calibrateRecords, playPolicy, recordDocuments, runPolicies } from "early-exits/calibrate";
import { beforeAll, describe, expect, it } from "vitest";
import { tallyRuns } from "../../../src/calibrate/record/policy-runs.js";
import { finish } from "../../support/lossless.js";
import { giveRandomGates, randomIds, smallModel } from "../../support/models.js";

const device = createReferenceDevice();
const words = ["the cat sat on the mat", "a dog ran in the fog", "the fog sat on a dog"];
/** No document is a copy of another: each has a name of its own in the middle. */
const documents = Array.from({ length: 24 }, (_, i) => {
  const name = `${"abcdefgh"[i % 8]!}${"xyz"[i % 3]!}`;
  return `${words[i % 3]!}. ${words[(i + 1) % 3]!} ${name}, and ${words[(2 * i) % 3]!}.`;
});
const config = llamaConfigJson({
  vocabSize: 257,
  hiddenSize: 16,
  numLayers: 3,
  numHeads: 2,
  numKvHeads: 1,
  intermediateSize: 32,
  maxPositionEmbeddings: 80,
  tieWordEmbeddings: true,
  bosTokenId: 256,
  eosTokenIds: [256],
});
let model: Model;
let heads: ExitHeads;
const steps: GateStep[] = [];

beforeAll(async () => {
  const fresh = createModel(config, { device, seed: 1, tokenizer: byteTokenizer() });
  await pretrain(fresh, tokenStream(fresh, documents), {
    steps: 60,
    batchSize: 4,
    sequenceLength: 32,
    learningRate: 1e-2,
  });
  model = await loadModel(config, memorySource(await serializeModel(fresh)), { device, tokenizer: byteTokenizer() });
  heads = attachHeads(model, { exits: [1, 2], seed: 1 });
  await trainGates(heads, documents, {
    steps: 60,
    batchSize: 4,
    sequenceLength: 40,
    seed: 1,
    onStep: (step) => steps.push(step),
  });
});

describe("trainGates", () => {
  it("lowers the cross-entropy below that of a constant, and so tells agreement from disagreement", async () => {
    // one half everywhere: ln 2
    expect(steps[0]!.losses.map((loss) => loss.toFixed(4))).toEqual(["0.6931", "0.6931"]);
    const { exits } = reportAgreement(await recordDocuments(heads, documents));
    for (const [exit, { agreement, scores }] of exits.entries()) {
      const constant = -agreement * Math.log(agreement) - (1 - agreement) * Math.log(1 - agreement);
      expect(steps.slice(-8).reduce((sum, { losses }) => sum + losses[exit]! / 8, 0)).toBeLessThan(0.9 * constant);
      expect(scores.gate!.auroc).toBeGreaterThan(0.7);
    }
  });

  it("for sampled text learns the share of draws that a best coupling keeps, which agreement is not", async () => {
    const sampling = { temperature: 1 };
    const made = attachHeads(model, { exits: [1, 2], seed: 1 });
    const losses: number[] = [];
    await trainGates(made, documents, {
      steps: 60,
      batchSize: 4,
      sequenceLength: 40,
      learningRate: 2e-2, // at the default, sixty steps do not reach shares far from one half
      seed: 1,
      sampling,
      onStep: (step) => losses.push(step.losses[0]!),
    });
    expect(losses[0]).toBeCloseTo(Math.log(2), 4); // one half everywhere, whatever the targets
    const squaredErrors = async (of: ExitHeads): Promise<{ gate: number[]; constant: number[] }> => {
      const records = await recordDocuments(of, documents, { sampling });
      const perExit = of.heads.map((_, exit) => {
        const exits = records.documents.map((document) => document.exits[exit]!);
        const kept = exits.flatMap(({ losses: lost }) => Array.from(lost!, (loss) => 1 - loss / LOSS_UNIT));
        const gates = exits.flatMap((one) => Array.from(one.gates!));
        const mean = kept.reduce((sum, share) => sum + share / kept.length, 0);
        const meanSquare = (guess: (i: number) => number): number =>
          kept.reduce((sum, share, i) => sum + (share - guess(i)) ** 2 / kept.length, 0);
        return [meanSquare((i) => gates[i]!), meanSquare(() => mean)] as const;
      });
      return { gate: perExit.map(([error]) => error), constant: perExit.map(([, error]) => error) };
    };
    const sampled = await squaredErrors(made);
    const greedy = await squaredErrors(heads);
    // In all, over both exits: better than the mean, and than gates that learned agreement.
    const inAll = ([first, second]: readonly number[]): number => first! + second!;
    expect(inAll(sampled.gate)).toBeLessThan(inAll(sampled.constant));
    expect(inAll(sampled.gate)).toBeLessThan(inAll(greedy.gate));
    const records = await recordDocuments(made, documents, { sampling });
    const { certificate } = await calibrateRecords(records, { agreement: 0.6, delta: 0.2, score: "gate" });
    expect((await verifyCertificate(certificate, { records })).verdict).toBe("reproduced");
  });

  it("refuses a repetition penalty, which states do not tell", async () => {
    const sampling = { temperature: 1, repetitionPenalty: 1.2 };
    await expect(trainGates(heads, documents, { steps: 1, sampling })).rejects.toMatchObject({
      code: "option-conflict",
    });
  });

  it("gives the same bytes for the same seed, and changes neither the model nor the heads", async () => {
    const train = async (seed: number): Promise<ExitHeads> => {
      const made = attachHeads(model, { exits: [1] });
      await trainGates(made, documents, { steps: 3, batchSize: 2, sequenceLength: 24, inner: 6, seed });
      return made;
    };
    const a = await train(1);
    const b = await train(1);
    const c = await train(2);
    const bytes = async (made: ExitHeads): Promise<Uint8Array> => (await serializeHeads(made)).weights;
    expect(await bytes(a)).toEqual(await bytes(b));
    expect(await bytes(a)).not.toEqual(await bytes(c));
    const untouched = attachHeads(model, { exits: [1] });
    await untouched.ready();
    expect(await a.heads[0]!.weights["weight"]!.read()).toEqual(await untouched.heads[0]!.weights["weight"]!.read());
  });

  it("leaves the old gates in place if aborted", async () => {
    const stop = new AbortController();
    const gates = heads.heads.map(({ gate }) => gate);
    await expect(
      trainGates(heads, documents, {
        steps: 9,
        signal: stop.signal,
        onStep: () => {
          stop.abort(new Error("power cut"));
        },
      }),
    ).rejects.toThrow("power cut");
    expect(heads.heads.map(({ gate }) => gate)).toEqual(gates);
  });
});

describe("the score gate", () => {
  it("needs no head for a token that stays: each that arrives costs a gate, each that leaves a head", async () => {
    const [record] = (await recordDocuments(heads, documents.slice(0, 1))).documents;
    // half of a text passes each gate
    const middle = record!.exits.map(({ gates }) => gates!.toSorted()[record!.positions >> 1]!);
    const policy = createPolicy(heads, middle, { score: "gate" });
    const run = generate(heads, "the cat", {
      policy,
      maxNewTokens: 40,
      stopAtEndOfText: false,
      temperature: 1,
      seed: 3,
    });
    for await (const token of run) expect(token.exit === undefined || token.score! >= middle[token.exit]!).toBe(true);
    const { decode, gatesByExit, headsByExit } = run.summary.ledger;
    const left = [1, 2, 3].map((depth) => run.summary.depthCounts[depth] ?? 0);
    expect(left.every((count) => count > 0)).toBe(true);
    expect(headsByExit).toEqual(left.slice(0, 2));
    expect(gatesByExit).toEqual([40, 40 - left[0]!]);
    expect([decode.gates, decode.heads]).toEqual([80 - left[0]!, left[0]! + left[1]!]);
    // Beside gates and heads, only blocks and attention are counted.
    const inner = heads.heads[0]!.gate!.inner;
    const blocks = run.summary.ledger.steps.reduce((sum, step) => sum + step.blocks, 0);
    expect(
      decode.multiplyAdds -
        decode.gates * inner * 18 -
        decode.heads * 16 * 257 -
        decode.finalHeads * 16 * 257 -
        2 * decode.attended * 16,
    ).toBe(blocks * (16 * 16 * 2 + 16 * 16 + 3 * 16 * 32));
  });

  it("is calibrated, certified, verified from records and in decoding, and priced by its gates", async () => {
    const records = await recordDocuments(heads, documents);
    const { policy, certificate } = await calibrateRecords(records, {
      agreement: 0.6,
      delta: 0.2,
      score: "gate",
      seed: 1,
    });
    expect(policy.score).toBe("gate");
    expect(policy.exits.some(({ threshold }) => threshold !== "never")).toBe(true);
    expect(await verifyCertificate(certificate, { records, heads, documents })).toMatchObject({
      verdict: "reproduced",
    });
    const { block, heads: head, gates } = records.ledger;
    expect(certificate.costs.head).toEqual(gates);
    expect(certificate.costs.reach).toEqual([block + head[0]!, 2 * block + head[1]!]);
    const runs = await runPolicies(heads, documents, {
      score: "gate",
      fill: "lazy",
      thresholds: [policy.exits.map(({ threshold }) => threshold)],
    });
    const tally = tallyRuns(runs);
    const played = playPolicy(records, policy);
    expect(
      Array.from({ length: 2 }, (_, exit) =>
        tally.left.filter((_count, i) => i % 2 === exit).reduce((sum, count) => sum + count, 0),
      ),
    ).toEqual(played.exits.map(({ left }) => left));
    // "best" tries it among the others.
    const best = await calibrate(heads, documents, { agreement: 0.6, delta: 0.2, seed: 1 });
    expect(heads.scores).toContain(best.policy.score);
  });

  it("is timed like the other units, and the certificate records the measured costs", async () => {
    const times = await measureUnitTimes(heads, { time: 1, rows: [1, 2] });
    expect(times.gates!.every((time) => time > 0)).toBe(true);
    const records = await recordDocuments(heads, documents);
    const { certificate } = await calibrateRecords(records, {
      agreement: 0.6,
      delta: 0.2,
      score: "gate",
      costs: times,
      seed: 1,
    });
    expect([certificate.costUnit, certificate.costs.head]).toEqual(["milliseconds", times.gates]);
    expect((await verifyCertificate(certificate, { records })).verdict).toBe("reproduced");
    const counted = await calibrateRecords(records, { agreement: 0.6, delta: 0.2, score: "gate", seed: 1 });
    expect(counted.certificate.costUnit).toBe("multiplyAdds");
  });

  it("gives way to cost: by any score, exits open if heads are free and stay shut if they are expensive", async () => {
    const records = await recordDocuments(heads, documents);
    const free = { block: [{ rows: 1, cost: 1 }], heads: [1e-9, 1e-9], finalHead: [{ rows: 1, cost: 1 }], fills: [] };
    const isOpen = async (costs: typeof free): Promise<boolean[]> => {
      const options = { agreement: 0.6, delta: 0.2, score: "margin", costs, seed: 1 } as const;
      const { policy } = await calibrateRecords(records, options);
      return policy.exits.map(({ threshold }) => threshold !== "never");
    };
    expect(await isOpen(free)).toContain(true);
    expect(await isOpen({ ...free, heads: [9, 9] })).toEqual([false, false]);
  });

  it("is refused if heads have no gates", async () => {
    const bare = attachHeads(model, { exits: [1, 2] });
    await expect(calibrate(bare, documents, { score: "gate" })).rejects.toMatchObject({ code: "score-gate" });
    await expect(calibrate(bare, documents, { procedure: "paper", score: "gate" })).rejects.toMatchObject({
      code: "score-gate",
    });
    await expect(
      runPolicies(bare, documents, { score: "gate", fill: "lazy", thresholds: [[0.5, 0.5]] }),
    ).rejects.toMatchObject({ code: "score-gate" });
    const run = generate(bare, "the", { policy: createPolicy(bare, 0.5, { score: "gate" }) });
    await expect(run[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "policy-score" });
  });

  it("reports every gate to observers, and works in lossless decoding", async () => {
    const small = attachHeads(await smallModel({ device }), { exits: [1, 3] });
    giveRandomGates(small);
    const policy = createPolicy(small, [0.8, 0.4], { score: "gate" });
    const events: boolean[] = [];
    const options = { maxNewTokens: 30, stopAtEndOfText: false };
    const run = generate(small, randomIds(4, 61, 1), {
      ...options,
      policy,
      observer: {
        observe: (event) => {
          if (event.type === "exit") events.push(event.left);
        },
      },
    });
    await finish(run);
    expect(events).toHaveLength(run.summary.ledger.decode.gates);
    expect(events.filter((left) => left)).toHaveLength(run.summary.ledger.decode.heads);
    const lossless = generate(small, randomIds(4, 61, 1), { ...options, policy, lossless: true });
    const plain = generate(small.model, randomIds(4, 61, 1), options);
    expect((await finish(lossless)).ids).toEqual((await finish(plain)).ids);
    expect(lossless.summary.ledger.decode.gates).toBeGreaterThan(0);
  });
});
