/**
 * The ledger: golden unit costs from config.json alone, and identities between the counts and what must have run.
 */
import { between, casesHere, fc, test, threshold } from "../../support/property.js";
import { createPolicy, type ExitHeads, type FillName, type ModelConfig, type WeightDtype } from "early-exits";
import { keyValueLayers, readModelConfig } from "early-exits/model";
import { blockCost, headCost, type Threshold, usualHeads } from "early-exits/exits";
import { type CountName, sumCounts } from "../../../src/exits/cost/ledger.js";
import type { DecodeEvent } from "../../../src/exits/decode/observe.js";
import { describe, expect, it } from "vitest";
import { fillCost } from "../../../src/exits/fill/fill.js";
import { bytesOf } from "../../../src/model/weights.js";
import {
  type AskedHeads,
  askedHeads,
  attachOptionsOf,
  giveProjections,
  once,
  randomIds,
  smallConfigs,
  smallHeads,
} from "../../support/models.js";
import { generated } from "../../support/generated.js";
import { sumOf, times } from "../../support/lists.js";

const pythia = (hidden_size: number, num_attention_heads: number, num_hidden_layers: number) =>
  readModelConfig({
    model_type: "gpt_neox",
    hidden_size,
    num_attention_heads,
    num_hidden_layers,
    intermediate_size: 4 * hidden_size,
    vocab_size: 50_304,
  });

describe("unit costs", () => {
  it("pythia-70m: a block is 3.41 M multiply-adds at context 256, a dense head 25.76 M", () => {
    expect(blockCost(pythia(512, 8, 6)) / 1e6).toBeCloseTo(3.41, 2);
    expect(headCost(pythia(512, 8, 6), { kind: "dense" }) / 1e6).toBeCloseTo(25.76, 2);
  });

  it.each([
    ["pythia-70m", pythia(512, 8, 6), 7.6],
    ["pythia-2.8b", pythia(2560, 32, 32), 1.6],
  ] as const)("%s: a dense head costs as much as several blocks", (_, config, blocks) =>
    expect(headCost(config, { kind: "dense" }) / blockCost(config)).toBeCloseTo(blocks, 1),
  );

  it("other heads cost their own products and the vocabulary's", () => {
    const config = { hiddenSize: 8, vocabSize: 100 };
    expect([
      headCost(config, { kind: "linear" }),
      headCost(config, usualHeads(config).linearPreview), // rank 2, 50 candidates
      headCost(config, { kind: "linear", preview: { rank: 2, candidates: 2, tokens: [1, 2, 3] } }),
      headCost(config, { kind: "preview", preview: { rank: 2, candidates: 4 } }),
    ]).toEqual([864, 64 + 2 * 108 + 400, 102, 2 * 108 + 32]);
  });
});

/** Multiply-adds of the four blocks of a small model. */
const stackCost = (config: ModelConfig, context: number) =>
  sumOf([0, 1, 2, 3], (layer) => blockCost(config, context, layer));

const setups = once(async ([name, asked, dtype]: readonly [string, AskedHeads, WeightDtype]) => {
  const heads = await smallHeads(
    { exits: [1, 2, 3], ...attachOptionsOf(asked) },
    { config: smallConfigs[name]!, dtype },
  );
  return giveProjections(heads);
});
const setup = (name: string, asked = askedHeads[1]!, dtype: WeightDtype = "float32") => setups([name, asked, dtype]);

interface RunOptions {
  readonly thresholds?: readonly Threshold[];
  readonly fill?: FillName;
  readonly newTokens?: number;
}

/** Generates, and returns the summary with the events that an observer received. */
async function runOf(
  heads: ExitHeads,
  prompt: readonly number[],
  { thresholds, fill = "lazy", newTokens = 10 }: RunOptions = {},
) {
  const events: DecodeEvent[] = [];
  const observer = { observe: (event: DecodeEvent) => void events.push(event) };
  const { tokens, summary } = await (thresholds === undefined
    ? generated(heads.model, prompt, { maxNewTokens: newTokens })
    : generated(heads, prompt, {
        maxNewTokens: newTokens,
        policy: createPolicy(heads, thresholds, { fill }),
        observer,
        drafts: false,
      }));
  return { summary, ledger: summary.ledger, events, depths: tokens.map(({ depth }) => depth) };
}

const anyThresholds = fc.tuple(threshold(4.2), threshold(4.2), threshold(4.2));
const anyRun = [
  fc.constantFrom("gpt2", "gpt_neox, parallel", "llama"),
  anyThresholds,
  between(1, 12),
  fc.nat(),
] as const;

describe("counts", () => {
  test.prop([fc.constantFrom(...Object.keys(smallConfigs)), between(1, 20), between(0, 9)], { numRuns: casesHere(30) })(
    "the counts of a plain run are exactly those of `plain`, and its multiply-adds those of the formula",
    async (name, promptTokens, newTokens) => {
      const small = await setup(name);
      const { ledger } = await runOf(small, randomIds(promptTokens, 61, 1), { newTokens });
      expect(ledger.decode).toEqual(ledger.plain);
      const { config } = small.model;
      expect(ledger.decode.multiplyAdds).toBe(
        sumOf(times(newTokens, (i) => stackCost(config, promptTokens + i) + headCost(config, { kind: "dense" }))),
      );
      const prefilled = newTokens === 0 ? 0 : promptTokens - 1; // no prefill if nothing is to be generated
      const blocks = keyValueLayers(config) - 1; // of that above, only keys and values
      expect(ledger.prefill.blocks).toBe(blocks * prefilled);
      expect(newTokens * ledger.prefill.keyValueBytesWritten).toBe(prefilled * ledger.decode.keyValueBytesWritten);
    },
  );

  test.prop([...anyRun, fc.constantFrom<FillName>("lazy", "project")], { numRuns: casesHere(40) })(
    "steps add up to the whole run, passes to blocks, and heads are those that the observer saw",
    async (name, thresholds, length, seed, fill) => {
      const { ledger, events, summary } = await runOf(await setup(name), randomIds(length, 61, seed), {
        thresholds,
        fill,
      });
      expect(ledger.steps).toHaveLength(summary.newTokens);
      expect(ledger.decode).toEqual(sumCounts(ledger.steps));
      expect(sumOf(ledger.passesByRows)).toBe(ledger.decode.blockPasses);
      expect(sumOf(ledger.passesByRows, (passes, rows) => rows * passes)).toBe(ledger.decode.blocks);
      expect(ledger.headsByExit).toEqual(
        [0, 1, 2].map((exit) => events.filter((event) => event.type === "exit" && event.exit === exit).length),
      );
      expect(ledger.decode.heads).toBe(events.length);
      expect(ledger.decode.finalHeads).toBe(summary.depthCounts[4]);
      expect(sumOf(ledger.finalHeadsByRows, (times, rows) => rows * times)).toBe(ledger.decode.finalHeads);
    },
  );

  test.prop([...anyRun], { numRuns: casesHere(40) })(
    "lazy: a position never runs a block twice, so its blocks are the largest depth of any token from it on",
    async (name, thresholds, length, seed) => {
      const { ledger, depths } = await runOf(await setup(name), randomIds(length, 61, seed), { thresholds });
      // Position i ends at the largest depth of any token from i on: a deep token takes all positions before it along.
      const reached = depths.map((_, i) => Math.max(...depths.slice(i)));
      expect(ledger.decode.blocks).toBe(sumOf(reached));
      expect(ledger.decode.fills).toBe(0);
      // Positions before a full-depth token save no block's FLOPs.
      const lastFull = depths.lastIndexOf(4);
      expect(sumCounts(ledger.steps.slice(0, lastFull + 1)).blocks).toBe(4 * (lastFull + 1));
    },
  );

  test.prop([...anyRun], { numRuns: casesHere(40) })(
    "project: a token costs the blocks below its exit, and one product for each block above",
    async (name, thresholds, length, seed) => {
      const heads = await setup(name);
      const { model } = heads;
      const { ledger, depths } = await runOf(heads, randomIds(length, 61, seed), {
        thresholds,
        fill: "project",
      });
      ledger.steps.forEach(({ blocks, fills, blockPasses }, i) =>
        expect([blocks, blockPasses, fills]).toEqual([depths[i]!, depths[i]!, 4 - depths[i]!]),
      );
      const width = model.weights.blocks[0]!.keyValue!.weight.shape[0]!;
      // Every position ends with the keys and values of all blocks.
      expect(ledger.decode.keyValueBytesWritten).toBe(4 * width * 4 * depths.length);
      const { config } = model;
      expect(fillCost("project", config, 1)).toBe(3 * config.hiddenSize * width);
      const run = sumOf(
        depths,
        (depth, i) => depth * blockCost(config, length + i) + fillCost("project", config, depth),
      );
      const { heads: asked, finalHeads, multiplyAdds } = ledger.decode;
      const judged = asked * headCost(config, { kind: "linear" }) + finalHeads * headCost(config, { kind: "dense" });
      expect(multiplyAdds).toBe(run + judged);
    },
  );

  test.prop([anyThresholds, fc.nat()], { numRuns: casesHere(20) })(
    "shared: a token costs the blocks below its exit, and if it leaves right below the shared block, that block's " +
      "keys and values",
    async (thresholds, seed) => {
      const heads = await setup("llama, shared keys and values"); // blocks 3 and 4 read block 2's
      const { ledger, depths } = await runOf(heads, randomIds(3, 61, seed), { thresholds, fill: "shared" });
      ledger.steps.forEach(({ blocks, fills }, i) =>
        expect([blocks, fills]).toEqual([depths[i]!, depths[i] === 1 ? 1 : 0]),
      );
      expect(ledger.decode.keyValueBytesWritten).toBe(
        2 * heads.model.weights.blocks[0]!.keyValue!.weight.shape[0]! * 4 * depths.length,
      );
    },
  );

  it.each(askedHeads)(
    "exits that never fire cost plain decoding plus their heads, and nothing else: $name",
    async (asked) => {
      const heads = await setup("llama", asked);
      // An entropy is never below 0, and a margin never that large.
      const unreached = heads.scores.includes("entropy") ? -1 : 1e9;
      const { ledger } = await runOf(heads, [1, 2, 3], { thresholds: [unreached, "never", unreached] });
      const [first, , third] = heads.heads;
      const added: Partial<Record<CountName, number>> = {
        heads: 20,
        multiplyAdds: 10 * (first!.work.multiplyAdds + third!.work.multiplyAdds),
        weightBytes: 10 * (first!.work.bytes + third!.work.bytes),
      };
      for (const name of Object.keys(ledger.plain) as CountName[]) {
        expect([name, ledger.decode[name] - ledger.plain[name]]).toEqual([name, added[name] ?? 0]);
      }
      expect(ledger.headsByExit).toEqual([10, 0, 10]);
    },
  );

  it("weights count in bytes of their stored dtype, once per pass, however many rows ran", async () => {
    for (const dtype of ["float32", "bfloat16", "int8"] as const) {
      const small = await setup("llama", undefined, dtype);
      const { ledger } = await runOf(small, [1, 2, 3, 4, 5]);
      const { blocks, unembedding, finalNorm } = small.model.weights;
      const stack = sumOf(blocks, bytesOf);
      const last = blocks[3]!; // of which four rows at once read no more
      const read = bytesOf(last.keyValue!) + bytesOf(last.attentionNorm!);
      expect(ledger.prefill.weightBytes).toBe(stack - bytesOf(last) + read);
      expect(ledger.decode.weightBytes).toBe(10 * (stack + bytesOf(unembedding) + bytesOf(finalNorm)));
    }
  });
});
