/**
 * Random cases of lossless decoding: a tiny model of any family, heads (logit lenses or noise), thresholds, prompts and
 * draft lengths. And replicas of the algorithm with bugs of published code, which every test of losslessness must
 * detect.
 */
import fc from "fast-check";
import {
  attachHeads,
  createPolicy,
  type ExitHeads,
  type GeneratedToken,
  type Policy,
  scoreNames,
  type WeightDtype,
} from "early-exits";
import { argmax, cacheDtypes, createReferenceDevice, createRng, type Device, scope, Tensor } from "early-exits/tensor";
import { advance, type Decoder } from "early-exits/model";
import type { Threshold } from "early-exits/exits";
import { leaveEarly } from "../../src/exits/decode/decode.js";
import { sharedWasm } from "./devices.js";
import { askedHeads, attachOptionsOf, hasScore, once, randomIds, smallConfigs, smallModel } from "./models.js";
import { between, type Drawn, real } from "./draw.js";
import { times } from "./lists.js";

export const CONTEXT = 32;
const VOCAB = 61;

/** Device and dtype that hold a model. */
export interface Ground {
  readonly name: string;
  readonly dtype: WeightDtype;
  readonly device: () => Promise<Device>;
}

const reference = createReferenceDevice();
export const GROUNDS = {
  reference: { name: "float32, reference", dtype: "float32", device: () => Promise.resolve(reference) },
  int4: { name: "int4, CPU", dtype: "int4", device: sharedWasm },
} as const satisfies Readonly<Record<string, Ground>>;

const threshold = fc.oneof(fc.constant<Threshold>("never"), fc.constant<Threshold>("always"), real(0, 1), real(0, 4));

/** Costs of a further row: if it is free, drafting never ends; if it costs more than a token, it never begins. */
const furtherRow = fc.oneof(fc.constantFrom(0, 2), real(0, 0.8));
const costs = furtherRow.map((further) => ({
  block: [{ rows: 1, cost: 0 }],
  heads: [0, 0, 0, 0],
  finalHead: [
    { rows: 1, cost: 1 },
    { rows: 2, cost: 1 + further },
  ],
}));

export const losslessCase = fc
  .record({
    config: fc.constantFrom(...Object.keys(smallConfigs)),
    // Factor on a fresh model's weights: with a small one, lenses agree often; with a large one, hardly ever.
    gain: fc.constantFrom(0.5, 8),
    // Logit lenses of any map and vocabulary, or dense heads with random weights.
    head: fc.constantFrom(...askedHeads, "noise" as const),
    kvCache: fc.constantFrom(...cacheDtypes),
    score: fc.constantFrom(...scoreNames),
    thresholds: fc.oneof(
      fc.tuple(threshold, threshold, threshold, threshold),
      threshold.map((last): Threshold[] => ["never", "never", "never", last]),
    ),
    lengths: fc.array(
      fc.oneof({ weight: 3, arbitrary: between(1, 6) }, { weight: 1, arbitrary: between(1, CONTEXT) }),
      { minLength: 1, maxLength: 3 },
    ),
    seed: fc.nat(),
    maxNewTokens: between(1, 14),
    stopAtEndOfText: fc.boolean(),
    lossless: fc.record({ costs }),
    ahead: fc.boolean(), // a look-ahead head drafts, not the exits
    draftLimit: between(0, 7), // of the replica, which has no plan
    batchSize: between(1, 3),
  })
  .map(({ lengths, seed, maxNewTokens, ...rest }) => ({
    ...rest,
    score: rest.head === "noise" || hasScore(rest.head, rest.score) ? rest.score : "margin",
    prompts: lengths.map((length, i) => randomIds(length, VOCAB, seed + i)),
    maxNewTokens: Math.min(maxNewTokens, CONTEXT - Math.max(...lengths) + 1), // the longest prompt may fill it
  }));

export type LosslessCase = Drawn<typeof losslessCase>;
type Subject = Pick<LosslessCase, "config" | "gain" | "kvCache" | "head" | "ahead">;

const setups = once(async ([{ config, gain, kvCache, head, ahead }, ground]: readonly [Subject, Ground]) => {
  const endOfText = times(9, (i) => 7 * i);
  const lengths = config.startsWith("gpt2") ? { n_positions: CONTEXT } : { max_position_embeddings: CONTEXT };
  const model = await smallModel({
    config: { ...smallConfigs[config]!, ...lengths, eos_token_id: endOfText },
    device: await ground.device(),
    dtype: ground.dtype,
    gain,
    kvCache,
  });
  const heads = attachHeads(model, {
    exits: [1, 2, 3, 4],
    ahead: ahead && { rank: 8, candidates: 4 },
    ...(head === "noise" ? { kind: "dense" } : attachOptionsOf(head)),
  });
  if (head === "noise") {
    for (const [i, { weights }] of heads.heads.entries()) weights.set(noiseLike(weights.tensors, i));
  }
  return heads;
});

/** Model and heads of a case, made once: a head at every depth; a seventh of the vocabulary ends a text. */
export function headsOf({ config, gain, kvCache, head, ahead }: Subject, ground: Ground = GROUNDS.reference) {
  return setups([{ config, gain, kvCache, head, ahead }, ground]);
}

function noiseLike(weights: Readonly<Record<string, Tensor>>, seed: number) {
  const rng = createRng(seed);
  return Object.fromEntries(
    Object.entries(weights).map(([name, { shape, size, device }]) => [
      name,
      Tensor.from(
        device,
        Float32Array.from({ length: size }, () => rng.normal()),
        shape,
      ),
    ]),
  );
}

export const policyOf = (heads: ExitHeads, { score, thresholds }: LosslessCase) =>
  createPolicy(heads, thresholds, { score });

/** Runs one generation to its end. */
export async function finish<Summary>(generation: AsyncIterable<GeneratedToken> & { readonly summary: Summary }) {
  const tokens = generation[Symbol.asyncIterator]();
  while ((await tokens.next()).done !== true);
  return generation.summary;
}

export type Bug = "none" | "bonusAfterRejection" | "unverifiedEndOfText";

/**
 * The algorithm again, as simple as possible: greedy, for one sequence, and with a bug if one is given:
 *   bonusAfterRejection   after a rejection, the round's last token is the argmax at the end of the draft, not the one
 *                         at the rejected token
 *   unverifiedEndOfText   a drafted end-of-text token is accepted without verification
 */
export function losslessReplica(heads: ExitHeads, policy: Policy, limit: number, bug: Bug): Decoder {
  const { model } = heads;
  const { numLayers, eosTokenIds } = model.config;
  return {
    async next(requests) {
      const [request] = requests;
      const { sequence, room } = request!;
      const start = sequence.length - 1;
      const drafts: number[] = [];
      while (drafts.length < Math.min(limit, room - 1)) {
        const token = (await leaveEarly(heads, policy, requests)).get(request!);
        if (token === undefined || token.depth === numLayers) break;
        drafts.push(token.id);
        sequence.append(token.id);
        if (bug === "unverifiedEndOfText" && eosTokenIds.includes(token.id)) break;
      }
      advance(model, [{ sequence, positions: times(drafts.length + 1, (i) => start + i) }], numLayers);
      const logits = scope(() => model.unembed(sequence.hidden(start, sequence.length)));
      const own = await argmax(logits);
      logits.dispose();
      if (bug === "unverifiedEndOfText" && drafts.length > 0 && eosTokenIds.includes(drafts.at(-1)!)) {
        sequence.truncate(sequence.length - 1);
        return [{ tokens: drafts.map((id) => ({ id, depth: 1 })), drafted: drafts.length }];
      }
      const wrong = drafts.findIndex((id, i) => id !== own[i]);
      const accepted = wrong < 0 ? drafts.length : wrong;
      sequence.truncate(start + 1 + accepted);
      const last = bug === "bonusAfterRejection" ? own.at(-1)! : own[accepted]!;
      return [
        {
          tokens: [...drafts.slice(0, accepted), last].map((id) => ({ id, depth: numLayers })),
          drafted: drafts.length,
        },
      ];
    },
  };
}
