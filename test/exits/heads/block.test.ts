/**
 * Heads with a causal block of their own: however their keys and values came about, and however many positions are read
 * together, their logits are those of the teacher-forced text, bit for bit; and a token that left early has the keys
 * and values that model/sequence.ts says.
 */
import { fc, test } from "@fast-check/vitest";
import { createPolicy, type ExitHeads, generateBatch, scoreNames } from "early-exits";
import { recordDocuments, runPolicies } from "early-exits/calibrate";
import type { DecodeEvent } from "early-exits/exits";
import { advance, prefill, Sequence } from "early-exits/model";
import { scope, Tensor } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { fills } from "../../../src/exits/fill/index.js";
import { confidenceAt, type ExitHead, exitFires, scoreAt, scoreOf } from "../../../src/exits/heads/index.js";
import { headInputs, hiddenBatch, wantedBy } from "../../../src/exits/states/index.js";
import { sameBits } from "../../support/lossless.js";
import { hasScore, randomIds } from "../../support/models.js";
import { DEPTHS, headsOf, LAYERS, setup, VOCAB } from "./block-setup.js";

/** [head][position] logits (or what the vocabulary has in their place) of a whole text, as calibration records them. */
async function recorded({ model, heads }: ExitHeads, ids: readonly number[]): Promise<Float32Array[][]> {
  const batch = await hiddenBatch(model, [ids], wantedBy(heads));
  const inputs = await headInputs(batch, heads, { caller: "test", weights: "packed" });
  const rows = heads.map((head, i) => rowsOf(scope(() => head.logitsOf(inputs.of[i]!))));
  return Promise.all(rows);
}

async function rowsOf(logits: Tensor): Promise<Float32Array[]> {
  const values = await logits.read();
  const width = logits.shape[1]!;
  return Array.from({ length: logits.shape[0]! }, (_, r) => values.slice(r * width, (r + 1) * width));
}

const action = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant("step" as const), depth: fc.integer({ min: 1, max: LAYERS }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("several" as const),
      count: fc.integer({ min: 1, max: 5 }),
      depth: fc.constantFrom(...DEPTHS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("prefill" as const),
      count: fc.integer({ min: 1, max: 6 }),
      sliceRows: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("truncate" as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("clone" as const, "rewind" as const) }) },
);

/** Runs the positions that lack it to a depth, together with a text that has nothing beside the stack. */
function run(sequence: Sequence, beside: Sequence, depth: number): void {
  const work = [beside, sequence].map((each) => ({ sequence: each, positions: each.pending(depth) }));
  advance(
    sequence.model,
    work.filter(({ positions }) => positions.length > 0),
    depth,
  );
}

describe("a head with a block", () => {
  test.prop([setup, fc.array(action, { minLength: 3, maxLength: 20 }), fc.nat()], { numRuns: 40 })(
    "gives the logits of the teacher-forced text in single steps, several at once, after a prefill, a cut, a copy",
    async (given, actions, seed) => {
      const heads = await headsOf(given);
      const { model } = heads;
      const text = randomIds(48, VOCAB, seed);
      const expected = await recorded(heads, text);
      const beside = new Sequence(model, 2);
      let sequence = new Sequence(model, 1, heads.sides);
      const check = async (exit: number, first: number): Promise<void> => {
        const head: ExitHead = heads.heads[exit]!;
        const positions = Array.from({ length: sequence.length - first }, (_, i) => first + i);
        const found = await rowsOf(scope(() => head.logitsOf(head.inputsAt([{ sequence, positions }]))));
        for (const [i, position] of positions.entries()) {
          expect(sameBits(found[i]!, expected[exit]![position]!), `exit ${exit}, position ${position}`).toBe(true);
        }
      };
      for (const each of actions) {
        const next = text.slice(sequence.length);
        if (next.length < 6) break;
        beside.append(next[0]!);
        switch (each.kind) {
          case "step":
            sequence.append(next[0]!);
            for (const [exit, depth] of DEPTHS.entries()) {
              if (depth > each.depth) continue;
              run(sequence, beside, depth);
              await check(exit, sequence.length - 1);
            }
            run(sequence, beside, each.depth);
            break;
          case "several":
            sequence.append(...next.slice(0, each.count));
            run(sequence, beside, each.depth);
            await check(DEPTHS.indexOf(each.depth), sequence.length - each.count);
            break;
          case "prefill":
            sequence.append(...next.slice(0, each.count));
            await prefill(model, [{ sequence, positions: sequence.pending(LAYERS) }], LAYERS, each);
            break;
          case "truncate":
            sequence.truncate(Math.floor(each.share * sequence.length));
            break;
          case "rewind":
            sequence.rewind();
            break;
          case "clone": {
            const copy = sequence.clone({ length: sequence.length, capacity: 1 });
            sequence.dispose();
            sequence = copy;
          }
        }
      }
      for (const each of [sequence, beside]) each.dispose();
    },
  );

  test.prop(
    [
      setup,
      fc.constantFrom("propagate" as const, "project" as const),
      fc.array(fc.constantFrom(0, 1, 2, undefined), { minLength: 1, maxLength: 16 }),
      fc.nat(),
    ],
    { numRuns: 40 },
  )(
    "has keys and values of the state at its depth, or of the one that a token left with",
    async (given, fill, exits, seed) => {
      const heads = await headsOf(given);
      const { model } = heads;
      const { device, config } = model;
      const sequence = new Sequence(model, 1, heads.sides);
      const states = DEPTHS.map((): Float32Array[] => []); // [side][position]
      for (const [t, exit] of exits.entries()) {
        sequence.append(randomIds(1, VOCAB, seed + t)[0]!);
        for (const [side, depth] of DEPTHS.entries()) {
          if (exit === undefined || side <= exit) {
            advance(model, [{ sequence, positions: sequence.pending(depth) }], depth);
          }
          states[side]!.push(await sequence.hidden(t).read());
        }
        if (exit === undefined) advance(model, [{ sequence, positions: sequence.pending(LAYERS) }], LAYERS);
        else fills[fill].apply(heads, sequence, t, exit);
      }
      for (const [side, { block }] of heads.heads.entries()) {
        const cache = device.createCache(config.numKvHeads, config.headDim, exits.length, model.kvCache);
        const values = Float32Array.from(states[side]!.flatMap((row) => [...row]));
        block!.write(Tensor.from(device, values, [exits.length, config.hiddenSize]), [
          { cache, positions: exits.map((_, t) => t) },
        ]);
        const found = await device.readCache(sequence.sideCache(block!), 0, exits.length);
        expect(found).toEqual(await device.readCache(cache, 0, exits.length));
        device.freeCache(cache);
      }
      sequence.dispose();
    },
  );

  test.prop(
    [
      setup,
      fc.constantFrom(...scoreNames),
      fc.array(fc.double({ min: 0, max: 4, noNaN: true }), { minLength: 3, maxLength: 3 }),
      fc.constantFrom("lazy" as const, "recompute" as const),
      fc.nat(),
    ],
    { numRuns: 40 },
  )("is evaluated in batches as it is recorded for calibration", async (given, name, thresholds, fill, seed) => {
    const heads = await headsOf(given);
    const score = hasScore({ map: "block", vocabulary: given.vocabulary }, name) ? name : "margin";
    const policy = createPolicy(heads, thresholds, { score, fill });
    const prompts = [3, 1, 6].map((length, i) => randomIds(length, VOCAB, seed + i));
    for (const prompt of prompts) {
      const events: Extract<DecodeEvent, { type: "exit" }>[] = [];
      const observe = (event: DecodeEvent): void => {
        if (event.type === "exit") events.push(event);
      };
      const texts = prompts.map((ids) => [...ids]);
      const options = { policy, maxNewTokens: 8, stopAtEndOfText: false };
      for await (const { id, prompt: index } of generateBatch(heads, prompts, options)) texts[index]!.push(id);
      const alone: number[] = [];
      for await (const { id } of generateBatch(heads, [prompt], { ...options, observer: { observe } })) alone.push(id);
      const text = texts[prompts.indexOf(prompt)]!;
      expect(text).toEqual([...prompt, ...alone]);
      const { documents } = await recordDocuments(heads, [text]);
      for (const { exit, position, score: found } of events) {
        expect(found).toBe(scoreOf(confidenceAt(documents[0]!.exits[exit]!.stats, position), score));
      }
    }
  });

  it("counts the same in policies that are run as in policies that are played on a recording", async () => {
    const heads = await headsOf({
      config: "qwen3",
      on: "wasm",
      kvCache: "int8",
      vocabulary: "full",
      dtype: "int8",
    });
    const documents = [20, 13].map((length, i) => ({ ids: randomIds(length, VOCAB, i) }));
    const thresholds = [1, 0.5, 0.2];
    const ran = await runPolicies(heads, documents, { score: "margin", fill: "lazy", thresholds: [thresholds] });
    const { documents: records } = await recordDocuments(heads, documents);
    for (const [d, { positions, exits }] of records.entries()) {
      const left = [0, 0, 0];
      for (let t = 0; t < positions; t++) {
        const exit = exits.findIndex((each, e) => exitFires(scoreAt(each, t, "margin"), thresholds[e]!, "margin"));
        if (exit >= 0) left[exit]!++;
      }
      expect(ran.documents[d]!.counts.left).toEqual(left);
      expect(Math.min(...left)).toBeGreaterThan(0);
    }
  });
});
