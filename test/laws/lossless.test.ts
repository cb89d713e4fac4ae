/**
 * Lossless decoding is lossless: for random tiny models of all families, good and useless heads, thresholds from never
 * to always, prompts up to the context limit, all draft lengths and batches, the output is the plain model's, token for
 * token, and the logits behind it are bit-identical; with float32 weights, and with int4 on the CPU device. Replicas
 * with bugs of published code must fail the same law.
 * `npm run test:laws` runs 320 cases, 80 of int4, and `npm test` a tenth; `npm run laws` runs it at LAWS_SCALE 10,
 * which is 20,000 cases, 5,000 of int4. A failure prints seed and path.
 */
import fc from "fast-check";
import {
  createPolicy,
  exactFill,
  type ExitHeads,
  fillNames,
  generate,
  generateBatch,
  type GenerateSummary,
} from "early-exits";
import { createRng } from "early-exits/tensor";
import { advance, Sequence } from "early-exits/model";
import { describe, expect, it } from "vitest";
import { traceGeneration } from "../../lab/check-lossless.js";
import { earlyExitDecoder, leaveEarly } from "../../src/exits/decode/decode.js";
import { draftBesideExits } from "../../src/exits/draft/beside-exits.js";
import { aheadPlan } from "../../src/exits/draft/ahead-plan.js";
import { draftPlan } from "../../src/exits/draft/draft-plan.js";
import { losslessDecoder } from "../../src/exits/draft/lossless-decoder.js";
import { createSampler, type Request } from "../../src/model/decode/decoder.js";
import { generateBatchWith } from "../../src/model/decode/generate.js";
import { casesHere } from "../support/cases-here.js";
import { judgeLaw, reportLaws } from "../support/case-law.js";
import { expectInvariant } from "../support/invariant.js";
import { giveProjections } from "../support/models.js";
import {
  type Bug,
  CONTEXT,
  finish,
  type Ground,
  GROUNDS,
  headsOf,
  type LosslessCase,
  losslessCase,
  losslessReplica,
  policyOf,
} from "../support/lossless.js";

const SCALE = Number(process.env["LAWS_SCALE"] ?? 0);
const CASES = SCALE > 0 ? 2000 * SCALE : casesHere(320);
const sampler = createSampler({}, createRng(0));
reportLaws();

const optionsOf = ({ maxNewTokens, stopAtEndOfText }: LosslessCase) => ({ maxNewTokens, stopAtEndOfText });

/** The replica's text after the first prompt. */
async function replicated(heads: ExitHeads, given: LosslessCase, bug: Bug) {
  const decoder = losslessReplica(heads, policyOf(heads, given), given.draftLimit, bug);
  const ids: number[] = [];
  const run = generateBatchWith(heads.model, given.prompts.slice(0, 1), optionsOf(given), decoder);
  for await (const { id } of run) ids.push(id);
  return ids;
}

describe("lossless decoding", () => {
  it.for<[string, Ground, number]>([
    ["with float32 on the reference device", GROUNDS.reference, CASES],
    ["with int4 on the CPU device", GROUNDS.int4, Math.ceil(CASES / 4)],
  ])(
    "gives the plain model's tokens and bit-identical logits, in ragged batches too, and its counts add up, %s",
    async ([, ground, cases]) => {
      let accepted = 0;
      let rejected = 0;
      const acceptedAt = [0, 0, 0, 0, 0]; // by depth, without a look-ahead head: 0 of repetitions, 4 after all blocks
      await judgeLaw(
        `greedy tokens, alone and in ragged batches, and the bits of their logits; counts add up: ${ground.name}`,
        fc.asyncProperty(losslessCase, async (given) => {
          const heads = await headsOf(given, ground);
          const { prompts, batchSize, lossless, ahead } = given;
          const options = optionsOf(given);
          const policy = policyOf(heads, given);
          const drafting = ahead ? { lossless } : { policy, lossless };
          const plain = await traceGeneration(heads, prompts[0]!, options);
          const verified = await traceGeneration(heads, prompts[0]!, { ...options, ...drafting });
          expect(verified.ids).toEqual(plain.ids);
          expect(verified.logits).toEqual(plain.logits);
          const { summary, tokens, ledger } = verified;
          expect(summary.finishReason).toBe(plain.summary.finishReason);
          const cut = summary.finishReason === "endOfText";
          // A round yields accepted + 1 tokens, unless end-of-text cuts it. maxNewTokens never does, because no draft
          // goes beyond it.
          if (!cut) expect(summary.newTokens).toBe(summary.accepted + summary.rounds);
          const drafted = tokens.filter((token) => token.drafted).length;
          if (!cut) expect(drafted).toBe(summary.accepted);
          // Every position of a round, accepted or not, runs all blocks once, and the final head once.
          const { decode } = ledger.report([summary]);
          expect(decode.blocks).toBe(4 * (summary.drafted + summary.rounds));
          expect(decode.finalHeads).toBe(summary.drafted + summary.rounds);
          expect([decode.drafted, decode.wastedDrafts, decode.tokens]).toEqual([
            summary.drafted,
            summary.drafted - summary.accepted,
            summary.newTokens,
          ]);
          for (const { drafted, depth } of ahead ? [] : tokens) acceptedAt[depth]! += Number(drafted);
          accepted += summary.accepted;
          rejected += summary.drafted - summary.accepted;

          // Lossy decoding in batches is that one by one.
          const plainOnes = [plain.summary];
          for (const prompt of prompts.slice(1)) plainOnes.push(await finish(generate(heads.model, prompt, options)));
          const lossyOnes: GenerateSummary[] = [];
          for (const prompt of prompts) lossyOnes.push(await finish(generate(heads, prompt, { ...options, policy })));
          for (const [alone, exits] of [
            [plainOnes, drafting],
            [lossyOnes, { policy }],
          ] as const) {
            const run = generateBatch(heads, prompts, { ...options, batchSize, ...exits });
            const streamed: number[][] = prompts.map(() => []);
            for await (const { id, prompt } of run) streamed[prompt]!.push(id);
            expect(streamed).toEqual(alone.map(({ ids }) => ids));
            expect(run.summaries.map(({ ids }) => ids)).toEqual(streamed);
            if (alone === lossyOnes) {
              expect(run.summaries).toMatchObject(alone.map(({ depthCounts }) => ({ depthCounts })));
            }
          }
          // The replica in which bugs are planted is right without one.
          expect(await replicated(heads, given, "none")).toEqual(plain.ids);
        }),
        { cases, seen: () => `${accepted} drafts accepted, ${rejected} refused` },
      );
      if (cases < 80) return; // too few to tell
      expect(accepted).toBeGreaterThan(cases / 10); // otherwise the cases do not test the law
      expect(rejected).toBeGreaterThan(cases / 10);
      if (cases >= 320) expect(Math.min(acceptedAt[0]!, acceptedAt[4]!)).toBeGreaterThan(0);
    },
  );

  it.for<Bug>(["bonusAfterRejection", "unverifiedEndOfText"])("a replica with bug %s is detected", async (bug) =>
    judgeLaw(
      `replica with bug ${bug}`,
      fc.asyncProperty(losslessCase, async (given) => {
        const heads = await headsOf(given);
        const plain = await finish(generate(heads.model, given.prompts[0]!, optionsOf(given)));
        return (await replicated(heads, given, bug)).join() === plain.ids.join();
      }),
      { cases: 150, seed: 1, mustBreak: true },
    ),
  );

  it("leaves every key, value and state as in a fresh pass, after every round", async () =>
    judgeLaw(
      "keys, values and states as of a fresh pass, after rounds, clones, truncations and replays",
      fc.asyncProperty(
        losslessCase,
        fc.array(fc.constantFrom("go on", "clone", "truncate", "replay"), { minLength: 1, maxLength: 5 }),
        async (given, actions) => {
          const heads = await headsOf(given);
          const { model } = heads;
          const { numLayers } = model.config;
          const policy = policyOf(heads, given);
          const decoder = losslessDecoder(model, {
            planOf: () => draftPlan(numLayers, [], given.lossless.costs),
            propose: (requests) => leaveEarly(heads, policy, requests),
          });
          let sequence = new Sequence(model, 2);
          sequence.append(...given.prompts[0]!);
          advance(model, [{ sequence, positions: sequence.pending(numLayers).slice(0, -1) }], numLayers);
          for (const action of actions) {
            const room = Math.min(6, CONTEXT + 1 - sequence.length);
            const [round] = await decoder.next([{ sequence, sampler, room }]);
            expect(round!.tokens.length).toBeLessThanOrEqual(room);
            await expectInvariant(model, sequence);
            if (action === "clone") {
              const copy = sequence.clone();
              sequence.dispose();
              sequence = copy;
            }
            // Roll back by half or by one position; then go on with other text, or replay the same token.
            const length = action === "truncate" ? Math.ceil(sequence.length / 2) : sequence.length;
            const replayed = sequence.ids.at(length - 1)!;
            if (action === "truncate" || action === "replay") sequence.truncate(length - 1);
            if (action === "replay") sequence.append(replayed);
            else if (sequence.length < CONTEXT) sequence.append(round!.tokens.at(-1)!.id);
            else break;
          }
          sequence.dispose();
        },
      ),
      { cases: Math.ceil(CASES / 8) },
    ));
});

it("drafts beside exits change no token, depth, score or event, whatever the fill and the thresholds", async () => {
  let right = 0;
  await judgeLaw(
    "tokens, depths, scores and events of a policy with drafts are those without",
    fc.asyncProperty(losslessCase, fc.constantFrom(...fillNames), fc.nat(), async (given, asked, seed) => {
      const heads = await headsOf(given);
      const fill = asked === "shared" ? exactFill(heads.model.config) : asked;
      if (fill === "project") await giveProjections(heads);
      const policy = createPolicy(heads, given.thresholds, { score: given.score, fill });
      const rng = createRng(seed);
      const [prompt] = given.prompts;
      const trace = async (known?: readonly number[]) => {
        const trail: unknown[] = [];
        const turning = [...given.thresholds];
        const observer = {
          observe: (event: unknown) => void trail.push(event),
          thresholds: () => (turning.push(turning.shift()!), turning),
        };
        const guess = ({ sequence }: Request) => {
          const wrong = Number(rng.uniform() < 0.3);
          right += 1 - wrong;
          return { id: (known![sequence.length - prompt!.length]! + wrong) % 61, depth: 0 };
        };
        const plan = aheadPlan(4, { ...given.lossless.costs, head: 0 });
        const oracle = {
          depths: [2, 4],
          planOf: () => ({ ...plan, asks: () => rng.uniform() < 0.6 }),
          propose: ([request]: readonly Request[]) =>
            Promise.resolve(new Map(rng.uniform() < 0.7 ? [[request!, guess(request!)]] : [])),
          keepStates: () => Promise.resolve(),
        };
        const decoder =
          known === undefined
            ? earlyExitDecoder(heads, policy, { observer })
            : draftBesideExits(heads, policy, oracle, { observer });
        const run = generateBatchWith(heads.model, [prompt!], { ...optionsOf(given), temperature: seed % 2 }, decoder);
        for await (const token of run) trail.push(token);
        return { trail, ids: run.summaries[0]!.ids };
      };
      const { trail, ids } = await trace();
      expect((await trace(ids)).trail).toEqual(trail);
    }),
    { cases: CASES, seen: () => `${right} drafts accepted` },
  );
  expect(right).toBeGreaterThan(CASES / 4);
});
