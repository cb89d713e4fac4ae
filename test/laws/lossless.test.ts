/**
 * Lossless decoding is lossless: for random tiny models of all families, good and useless heads, thresholds from never
 * to always, prompts up to the context limit, all draft lengths and batches, the output is the plain model's, token for
 * token, and the logits behind it are bit-identical; with float32 weights, and with int4 on the CPU device. Replicas
 * with bugs of published code must fail the same law.
 * `npm run test:laws` runs 320 cases, 80 of int4, and `npm test` a quarter; `npm run laws` runs it at LAWS_SCALE 10,
 * which is 20,000 cases, 5,000 of int4. A failure prints seed and path.
 */
import fc from "fast-check";
import { generate, generateBatch } from "early-exits";
import { createRng } from "early-exits/tensor";
import { advance, Sequence } from "early-exits/model";
import { describe, expect, it } from "vitest";
import { traceGeneration } from "../../lab/check-lossless.js";
import { leaveEarly } from "../../src/exits/decode/decode.js";
import { draftPlan, losslessDecoder } from "../../src/exits/draft/speculate.js";
import { createSampler } from "../../src/model/decode/decoder.js";
import { generateWith } from "../../src/model/decode/generate.js";
import { casesHere } from "../support/cases-here.js";
import { judgeLaw, reportLaws } from "../support/case-law.js";
import { expectInvariant } from "../support/invariant.js";
import {
  type Bug,
  CONTEXT,
  finish,
  type Ground,
  GROUNDS,
  headsOf,
  losslessCase,
  losslessReplica,
  policyOf,
} from "../support/lossless.js";

const SCALE = Number(process.env["LAWS_SCALE"] ?? 0);
const CASES = SCALE > 0 ? 2000 * SCALE : casesHere(320);
const sampler = createSampler({}, createRng(0));
reportLaws();

describe("lossless decoding", () => {
  it.for<[string, Ground, number]>([
    ["with float32 on the reference device", GROUNDS.reference, CASES],
    ["with int4 on the CPU device", GROUNDS.int4, CASES / 4],
  ])(
    "gives the plain model's tokens and bit-identical logits, and its counts add up, %s",
    async ([, ground, cases]) => {
      let accepted = 0;
      let rejected = 0;
      await judgeLaw(
        `greedy tokens and the bits of their logits; counts add up: ${ground.name}`,
        fc.asyncProperty(losslessCase, async (given) => {
          const heads = await headsOf(given, ground);
          const { maxNewTokens, stopAtEndOfText, lossless } = given;
          const options = { maxNewTokens, stopAtEndOfText };
          const plain = await traceGeneration(heads, given.prompts[0]!, options);
          const verified = await traceGeneration(heads, given.prompts[0]!, {
            ...options,
            policy: policyOf(heads, given),
            lossless,
          });
          expect(verified.ids).toEqual(plain.ids);
          expect(verified.logits).toEqual(plain.logits);
          const { summary, tokens, ledger } = verified;
          expect(summary.finishReason).toBe(plain.summary.finishReason);
          const cut = summary.finishReason === "endOfText";
          // A round yields accepted + 1 tokens, unless end-of-text cuts it. maxNewTokens never does, because no draft
          // goes beyond it.
          if (!cut) expect(summary.newTokens).toBe(summary.accepted + summary.rounds);
          expect(summary.newTokens).toBeLessThanOrEqual(summary.accepted + summary.rounds);
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
          accepted += summary.accepted;
          rejected += summary.drafted - summary.accepted;
        }),
        { cases, seen: () => `${accepted} drafts accepted, ${rejected} refused` },
      );
      expect(accepted).toBeGreaterThan(cases / 10); // otherwise the cases do not test the law
      expect(rejected).toBeGreaterThan(cases / 10);
    },
  );

  it("in ragged batches of any composition too; lossy decoding in batches is that one by one", async () => {
    await judgeLaw(
      "ragged batches: every text as alone, lossless and lossy",
      fc.asyncProperty(losslessCase, async (given) => {
        const heads = await headsOf(given);
        const { maxNewTokens, stopAtEndOfText, batchSize, lossless } = given;
        const options = { maxNewTokens, stopAtEndOfText };
        for (const lossy of [false, true]) {
          const exits = { policy: policyOf(heads, given), ...(lossy ? {} : { lossless }) };
          const run = generateBatch(heads, given.prompts, { ...options, batchSize, ...exits });
          const streamed: number[][] = given.prompts.map(() => []);
          for await (const { id, prompt } of run) streamed[prompt]!.push(id);
          for (const [i, prompt] of given.prompts.entries()) {
            const alone = await finish(
              generate(lossy ? heads : heads.model, prompt, { ...options, ...(lossy && exits) }),
            );
            expect(run.summaries[i]!.ids).toEqual(alone.ids);
            expect(streamed[i]).toEqual(alone.ids);
            if (lossy) expect(run.summaries[i]!.depthCounts).toEqual(alone.depthCounts);
          }
        }
      }),
      { cases: CASES },
    );
  });

  it.for<[Bug, boolean]>([
    ["none", true],
    ["bonusAfterRejection", false],
    ["unverifiedEndOfText", false],
  ])("a replica with bug %s: equality with greedy decoding in every case is %s", async ([bug, holds]) => {
    await judgeLaw(
      `replica with bug ${bug}`,
      fc.asyncProperty(losslessCase, async (given) => {
        const heads = await headsOf(given);
        const { maxNewTokens, stopAtEndOfText, draftLimit } = given;
        const options = { maxNewTokens, stopAtEndOfText };
        const plain = await finish(generate(heads.model, given.prompts[0]!, options));
        const replica = await finish(
          generateWith(
            heads.model,
            given.prompts[0]!,
            options,
            losslessReplica(heads, policyOf(heads, given), draftLimit, bug),
          ),
        );
        return replica.ids.join() === plain.ids.join();
      }),
      { cases: Math.max(150, holds ? CASES / 8 : 0), seed: 1, mustBreak: !holds },
    );
  });

  it("leaves every key, value and state as in a fresh pass, after every round", async () => {
    await judgeLaw(
      "keys, values and states as of a fresh pass, after rounds, clones, truncations and replays",
      fc.asyncProperty(
        losslessCase,
        fc.array(fc.constantFrom("go on", "clone", "truncate", "replay"), { minLength: 1, maxLength: 5 }),
        async (given, actions) => {
          const heads = await headsOf(given);
          const { model } = heads;
          const { numLayers } = model.config;
          const policy = policyOf(heads, given);
          const decoder = losslessDecoder(
            model,
            (requests) => leaveEarly(heads, policy, requests, {}, { deepest: numLayers - 1 }),
            () => draftPlan(numLayers, [], given.lossless.costs),
          );
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
    );
  });
});
