/** Law: on given text, running many positions at once counts what the decoder emits token by token. */
import fc from "fast-check";
import { attachHeads, createPolicy, ExitHeads, fitProjections } from "early-exits";
import { runPolicies } from "early-exits/calibrate";
import { type FillName, fillNames, type Threshold } from "early-exits/exits";
import { advance, Sequence } from "early-exits/model";
import { createRng } from "early-exits/tensor";
import { describe, it, expect } from "vitest";
import { earlyExitDecoder } from "../../../src/exits/decode/decode.js";
import { requireFillFor } from "../../../src/exits/fill/fill.js";
import { createSampler } from "../../../src/model/decode/decoder.js";
import { documents as fitting, names, setup } from "../../exits/fill/setup.js";
import { giveRandomBlocks, giveRandomGates, randomIds } from "../../support/models.js";

/** A text: tokens before the first that is judged, and tokens from there on. */
const text = fc.record({ prompt: fc.integer({ min: 0, max: 12 }), rest: fc.integer({ min: 2, max: 20 }) });
const threshold = fc.oneof(fc.double({ min: 0, max: 0.2, noNaN: true }), fc.constantFrom<Threshold>("never", "always"));
const policies = fc.array(fc.array(threshold, { minLength: 4, maxLength: 4 }), { minLength: 1, maxLength: 3 });
/** Which heads have a block of their own. */
const blocks = fc.array(fc.boolean(), { minLength: 4, maxLength: 4 });

describe("runs of policies on given text", () => {
  it.each(names)("%s: many positions at once give the tokens of the decoder", async (name) => {
    const plain = await setup(name);
    const own = await withBlocks(plain.heads);
    for (const heads of [plain.heads, own]) giveRandomGates(heads);
    await fc.assert(
      fc.asyncProperty(
        fc.array(text, { minLength: 1, maxLength: 4 }),
        policies,
        blocks,
        fc.constantFrom("margin" as const, "gate" as const),
        fc.nat(1000),
        async (texts, thresholds, owns, score, seed) => {
          const mixed = owns.map((has, exit) => (has ? own : plain.heads).heads[exit]!);
          const heads = new ExitHeads(plain.model, mixed);
          const legal = fillNames.filter((fill) => isLegal(heads, fill));
          const fill = legal[seed % legal.length]!;
          const documents = texts.map(({ prompt, rest }, d) => ({
            ids: randomIds(prompt + rest, 61, seed + d),
            from: prompt,
          }));
          const runs = await runPolicies(heads, documents, { score, fill, thresholds }, { batchSize: 3 });
          for (const [d, document] of documents.entries()) {
            for (const [candidate, vector] of thresholds.entries()) {
              const { left, wrong, deep } = await decoded(heads, document, { score, fill, vector });
              const { counts } = runs.documents[d]!;
              expect(counts.left.slice(4 * candidate, 4 * candidate + 4)).toEqual(left);
              expect(counts.wrong.slice(4 * candidate, 4 * candidate + 4)).toEqual(wrong);
              expect(counts.deep[candidate]).toBe(vector.every((each) => each === "never") ? 0 : deep);
            }
          }
        },
      ),
      { numRuns: 12 },
    );
  });
});

/** Heads with random blocks at the same depths, and learned keys and values fitted to them. */
async function withBlocks({ model, depths }: ExitHeads): Promise<ExitHeads> {
  const heads = attachHeads(model, { exits: depths, kind: "block" });
  await heads.ready();
  giveRandomBlocks(heads);
  await fitProjections(heads, fitting, { sequenceLength: 32 });
  return heads;
}

function isLegal(heads: ExitHeads, fill: FillName): boolean {
  try {
    requireFillFor(heads, fill);
    return true;
  } catch {
    return false;
  }
}

interface Run {
  readonly score: "margin" | "gate";
  readonly fill: FillName;
  /** The policy's thresholds. */
  readonly vector: readonly Threshold[];
}

/** What the decoder emits, one token after the other. */
async function decoded(
  heads: ExitHeads,
  { ids, from }: { readonly ids: readonly number[]; readonly from: number },
  { score, fill, vector }: Run,
): Promise<{ readonly left: number[]; readonly wrong: number[]; readonly deep: number }> {
  const { model } = heads;
  const counted = { left: [0, 0, 0, 0], wrong: [0, 0, 0, 0], deep: 0 };
  const logits = await model.logits(ids);
  const decoder = earlyExitDecoder(heads, createPolicy(heads, vector, { score, fill }));
  const sequence = new Sequence(model, ids.length, decoder.sides);
  sequence.append(...ids.slice(0, from));
  advance(model, [{ sequence, positions: sequence.pending(4) }], 4);
  for (let t = from; t < ids.length; t++) {
    sequence.append(ids[t]!);
    const [round] = await decoder.next([{ sequence, sampler: createSampler({}, createRng(0)), room: 1 }]);
    const { id, exit } = round!.tokens[0]!;
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
