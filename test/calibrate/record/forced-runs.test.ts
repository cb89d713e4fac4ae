/** Law: on given text, running many positions at once counts what the decoder emits token by token. */
import { createPolicy, type ExitHeads, fitProjections, type Policy } from "early-exits";
import type { RunCandidates } from "../../../src/calibrate/record/policy-runs.js";
import { runPolicies } from "early-exits/calibrate";
import { type FillName, fillNames, type Threshold } from "early-exits/exits";
import { type Model, Sequence } from "early-exits/model";
import { runTo } from "../../../src/model/advance.js";
import { cacheDtypes, scope } from "early-exits/tensor";
import { expect, it } from "vitest";
import { earlyExitDecoder } from "../../../src/exits/decode/decode.js";
import { requireFillFor } from "../../../src/exits/fill/fill.js";
import { nextToken } from "../../support/generated.js";
import { freshPass } from "../../support/invariant.js";
import { devicesHere } from "../../support/devices.js";
import { askedHeads, attachOptionsOf, once, randomIds, smallConfigs, smallHeads } from "../../support/models.js";
import { between, casesHere, type Drawn, fc, real, test } from "../../support/property.js";

/** A text: tokens before the first that is judged, and tokens from there on. */
const text = fc.record({ prompt: between(0, 12), rest: between(2, 20) });
const threshold = fc.oneof(real(0, 0.2), fc.constantFrom<Threshold>("never", "always"));
const vectors = (exits: number) =>
  fc.array(fc.array(threshold, { minLength: exits, maxLength: exits }), { minLength: 1, maxLength: 3 });
const score = fc.constantFrom("margin" as const, "entropy" as const);
const names = Object.keys(smallConfigs);
const packedHeads = fc.record({
  config: fc.constantFrom(...names),
  on: fc.constantFrom("reference" as const, "wasm" as const),
  kvCache: fc.constantFrom(...cacheDtypes),
  asked: fc.constantFrom(...askedHeads).map(attachOptionsOf),
  dtype: fc.constantFrom("float32" as const, "int8" as const),
});

it.each(names)("%s: many positions at once give the tokens of the decoder", async (config) => {
  const heads = await headsOf({ config, exits: [1, 2, 3, 4], asked: { kind: "linear", preview: false } });
  await fc.assert(
    fc.asyncProperty(
      fc.array(text, { minLength: 1, maxLength: 4 }),
      vectors(4),
      score,
      fc.nat(1000),
      async (texts, thresholds, score, seed) => {
        await check(heads, documentsOf(texts, seed), { score, fill: fillOf(heads, seed), thresholds });
      },
    ),
    { numRuns: casesHere(12) },
  );
});

test.prop([packedHeads, fc.array(text, { minLength: 1, maxLength: 4 }), vectors(3), score, fc.nat(1000)], {
  numRuns: casesHere(30),
})(
  "count the same for packed heads, and every type of keys and values",
  async (given, texts, thresholds, score, seed) => {
    const heads = await headsOf(given);
    const documents = documentsOf(texts, seed);
    const known = heads.scores.includes(score) ? score : "margin"; // previews have no entropy
    const candidates = { score: known, fill: fillOf(heads, seed), thresholds };
    const runs = await check(heads, documents, candidates);
    // Sampled text runs token by token; where tokens leave does not depend on what is drawn.
    const sampled = await runPolicies(heads, documents, candidates, { sampling: { temperature: 1 } });
    for (const [d, { counts }] of runs.documents.entries()) {
      expect(sampled.documents[d]!.counts.left).toEqual(counts.left);
    }
  },
);

interface TestDocument {
  readonly ids: readonly number[];
  readonly from: number;
}

function documentsOf(texts: readonly { readonly prompt: number; readonly rest: number }[], seed: number) {
  return texts.map(({ prompt, rest }, d) => {
    return { ids: randomIds(prompt + rest, 61, seed + d), from: prompt };
  });
}

/** Runs candidates, and compares what they count with the decoder's tokens. */
async function check(heads: ExitHeads, documents: readonly TestDocument[], candidates: RunCandidates) {
  const { score, fill, thresholds } = candidates;
  const runs = await runPolicies(heads, documents, candidates, { batchSize: 3 });
  const exits = heads.depths.length;
  for (const [d, document] of documents.entries()) {
    const logits = await logitsOf(heads.model, document.ids);
    for (const [candidate, vector] of thresholds.entries()) {
      const policy = createPolicy(heads, vector, { score, fill });
      const { left, wrong, deep } = await decoded(heads, document, { policy, logits });
      const { counts } = runs.documents[d]!;
      expect(counts.left.slice(exits * candidate, exits * (candidate + 1))).toEqual(left);
      expect(counts.wrong.slice(exits * candidate, exits * (candidate + 1))).toEqual(wrong);
      expect(counts.deep[candidate]).toBe(vector.every((each) => each === "never") ? 0 : deep);
    }
  }
  return runs;
}

/** One of the fills that are legal for the heads. */
function fillOf(heads: ExitHeads, seed: number) {
  const legal = fillNames.filter((fill) => isLegal(heads, fill));
  return legal[seed % legal.length]!;
}

type Packed = Drawn<typeof packedHeads>;
type Subject = Pick<Packed, "config" | "asked"> & Partial<Packed> & { readonly exits?: readonly number[] };

const devices = await devicesHere();
const headsOf = once(async ({ config, on = "wasm", exits = [1, 2, 3], kvCache, dtype, asked }: Subject) => {
  const heads = await smallHeads(
    { exits: [...exits], ...(dtype && { dtype }), ...asked },
    { config: smallConfigs[config]!, device: devices[on], ...(kvCache && { kvCache }) },
  );
  await fitProjections(heads, [randomIds(24, 61, 9)], { sequenceLength: 24 });
  return heads;
});

function isLegal(heads: ExitHeads, fill: FillName) {
  try {
    requireFillFor(heads, fill);
    return true;
  } catch {
    return false;
  }
}

/** The full model's logits after every token, with keys and values as a sequence stores them. */
async function logitsOf(model: Model, ids: readonly number[]) {
  const sequence = freshPass(model, ids);
  const logits = scope(() => model.unembed(sequence.hidden(0, ids.length)));
  const values = Float32Array.from(await logits.read());
  logits.dispose();
  sequence.dispose();
  return values;
}

/** Tokens of the decoder, one after the other. */
async function decoded(
  heads: ExitHeads,
  { ids, from }: TestDocument,
  { policy, logits }: { readonly policy: Policy; readonly logits: Float32Array },
) {
  const { model } = heads;
  const counted = { left: heads.depths.map(() => 0), wrong: heads.depths.map(() => 0), deep: 0 };
  const decoder = earlyExitDecoder(heads, policy);
  const sequence = new Sequence(model, ids.length);
  sequence.append(...ids.slice(0, from));
  runTo(sequence, 4);
  for (let t = from; t < ids.length; t++) {
    sequence.append(ids[t]!);
    const { id, exit } = await nextToken(decoder, sequence);
    const row = logits.subarray(61 * t, 61 * (t + 1));
    const differs = Number(id !== row.indexOf(Math.max(...row)));
    if (exit === undefined) counted.deep += differs;
    else {
      counted.left[exit]!++;
      counted.wrong[exit]! += differs;
    }
  }
  sequence.dispose();
  return counted;
}
