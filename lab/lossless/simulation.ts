/**
 * A simulation: lossless decoding of a model of 110 M random weights whose drafts are right with a set probability,
 * compared with the formula
 *   tokens per round (1 - α^(γ+1)) / (1 - α),   time per round γ · draft + verification of γ + 1 rows,
 * with the times of a draft step and a verification measured in the same run. The drafts are not those of a head, but
 * the work is real.
 */
import { attachHeads, createPolicy, type ExitHeads, type Model, type Policy } from "early-exits";
import { createRng, Tensor } from "early-exits/tensor";
import { createDevice } from "early-exits/node";
import { leaveEarly } from "../../src/exits/decode/index.js";
import { type Drafter, draftPlans, losslessDecoder } from "../../src/exits/draft/index.js";
import { countedCosts } from "../../src/exits/cost/index.js";
import { generateWith } from "../../src/model/decode/index.js";
import { run } from "./tuning.js";
import { benchShapes, drain, randomModel, timingOf } from "../speed/index.js";
import { percent, prose } from "../report/index.js";
import type { LosslessPart } from "./ways.js";

/** Drafts as decoding does (blocks, head, reading back), and then makes the token right with probability alpha. */
function oracle(heads: ExitHeads, policy: Policy, truth: readonly number[], alpha: number, seed: number): Drafter {
  const rng = createRng(seed);
  const { vocabSize } = heads.model.config;
  return async (requests) =>
    (await leaveEarly(heads, policy, requests)).map((token, i) => {
      const right = truth[requests[i]!.sequence.length]!;
      return token && { ...token, id: rng.uniform() < alpha ? right : (right + 1) % vocabSize };
    });
}

/** Low-rank heads with random weights: their predictions will be replaced, their cost is real. */
export async function randomHeads(model: Model, depths: readonly number[]): Promise<ExitHeads> {
  const { hiddenSize, vocabSize } = model.config;
  const heads = attachHeads(model, { exits: depths, kind: "lowRank" });
  const rng = createRng(3);
  const noise = (shape: readonly number[]): Tensor =>
    Tensor.from(
      model.device,
      Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.05 * rng.normal()),
      shape,
    );
  for (const head of heads.heads) {
    head.weights = {
      normGain: Tensor.from(model.device, new Float32Array(hiddenSize).fill(1)),
      down: noise([head.shape.inner, hiddenSize]),
      up: noise([vocabSize, head.shape.inner]),
    };
  }
  await heads.freeze();
  return heads;
}

const SIMULATED = { shape: "llama 110M", depth: 4, draftLimit: 4, tokens: 120, prompt: 32 } as const;
const ROUNDS = 7;

/** Measures lossless decoding with an oracle's drafts, beside the prediction of the formula. */
export async function simulateOracle(): Promise<LosslessPart> {
  const device = await createDevice("wasm");
  const model = await randomModel(benchShapes[SIMULATED.shape]!, device);
  const { numLayers, vocabSize } = model.config;
  const heads = await randomHeads(model, [SIMULATED.depth]);
  const policy = createPolicy(heads, "always");
  const { draftLimit, tokens } = SIMULATED;
  const prompt = Array.from({ length: SIMULATED.prompt }, (_, i) => (i * 7919 + 13) % vocabSize);
  const options = { maxNewTokens: tokens, stopAtEndOfText: false };
  const truth = [...prompt, ...(await run(heads, prompt, {}, tokens)).ids];
  const alphas = [0.6, 0.8, 0.9];
  const samples: { plain: number[]; drafts: number[]; verifications: number[]; lossless: number[][] } = {
    plain: [],
    drafts: [],
    verifications: [],
    lossless: alphas.map(() => []),
  };
  const yields = alphas.map(() => ({ tokens: 0, rounds: 0 }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [a, alpha] of alphas.entries()) {
      const units = await stepTimes(heads, policy, truth.slice(0, prompt.length + tokens / 2), draftLimit);
      samples.drafts.push(units.draft);
      samples.verifications.push(units.verification);
      const decoder = losslessDecoder(
        model,
        oracle(heads, policy, truth, alpha, 100 * round + a),
        draftPlans(numLayers, countedCosts(model.config), { draftLimit }),
      );
      const generation = generateWith(model, prompt, options, decoder);
      await drain(generation);
      if (generation.summary.ids.join() !== truth.slice(prompt.length).join()) {
        throw new Error("bench: the simulation is not lossless");
      }
      samples.lossless[a]!.push(1000 / generation.summary.tokensPerSecond);
      yields[a]!.tokens += generation.summary.newTokens;
      yields[a]!.rounds += generation.summary.rounds;
    }
    samples.plain.push(1000 / (await run(heads, prompt, {}, tokens)).tokensPerSecond);
  }
  await device.dispose();
  const draft = timingOf(samples.drafts).median;
  const verification = timingOf(samples.verifications).median;
  const plain = timingOf(samples.plain).median;
  const rows = alphas.map((alpha, a) => {
    const perRound = (1 - alpha ** (draftLimit + 1)) / (1 - alpha);
    const predicted = (draftLimit * draft + verification) / perRound;
    const measured = timingOf(samples.lossless[a]!).median;
    return {
      alpha,
      perRound,
      seen: yields[a]!.tokens / yields[a]!.rounds,
      predicted,
      measured,
      reached: predicted / measured,
      speedup: plain / measured,
    };
  });
  return {
    data: { samples, draft, verification, plain, rows },
    tables: [
      {
        title: "Simulation: an oracle's drafts on a model of 110 M random weights",
        note: prose`
          No real head: drafting is run and timed at depth ${SIMULATED.depth} of ${numLayers} with a low-rank head, and
          then its token is replaced by one that is right with the set probability. ${draftLimit} drafts a round,
          ${tokens} tokens, medians of ${ROUNDS} interleaved runs. One draft step ${draft.toFixed(2)} ms, one
          verification of ${draftLimit + 1} rows ${verification.toFixed(2)} ms, a plain token ${plain.toFixed(2)} ms.
          The last round, which is cut short, lowers the tokens per round a little.`,
        columns: [
          "acceptance",
          "tokens/round, formula",
          "seen",
          "ms/token, formula",
          "measured",
          "speed reached",
          "speed-up over plain",
        ],
        rows: rows.map(({ alpha, perRound, seen, predicted, measured, reached, speedup }) => [
          alpha,
          perRound,
          seen,
          predicted,
          measured,
          percent(reached, 0),
          speedup,
        ]),
      },
    ],
  };
}

/** Milliseconds of one draft step, and of one verification of `drafts` drafts, in a round of a decoder. */
async function stepTimes(
  heads: ExitHeads,
  policy: Policy,
  ids: readonly number[],
  drafts: number,
): Promise<{ draft: number; verification: number }> {
  const { model } = heads;
  let drafting = 0;
  let ended = 0;
  const decoder = losslessDecoder(
    model,
    async (requests) => {
      const from = performance.now();
      const tokens = await leaveEarly(heads, policy, requests);
      ended = performance.now();
      drafting += ended - from;
      return tokens;
    },
    draftPlans(model.config.numLayers, countedCosts(model.config), { draftLimit: drafts }),
  );
  const generation = generateWith(model, ids, { maxNewTokens: drafts + 1, stopAtEndOfText: false }, decoder);
  const tokens = generation[Symbol.asyncIterator]();
  await tokens.next();
  const verification = performance.now() - ended;
  await tokens.return?.();
  return { draft: drafting / drafts, verification };
}
