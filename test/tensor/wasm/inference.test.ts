/**
 * The CPU device under a whole model: low precision keeps the predictions, steps keep their bits, and what is disposed
 * of is freed.
 */
import { between, casesHere, fc, test } from "../../support/property.js";
import { attachHeads, generate, type Model, trainHeads } from "early-exits";
import { scope } from "early-exits/tensor";
import { weightDtypes } from "../../../src/tensor/device.js";
import { Sequence } from "early-exits/model";
import { runTo } from "../../../src/model/advance.js";
import { createDevice, readModel } from "early-exits/node";
import { expect, it } from "vitest";
import { embeddedTestDocuments, measureQuality } from "../../../lab/speed/quality.js";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";
import { times } from "../../support/lists.js";

const embedded = "models/sotu-6";

/** States of the last position after each block, and the logits, token by token or all at once. */
async function trace(model: Model, ids: readonly number[], oneByOne: boolean) {
  const { numLayers } = model.config;
  const sequence = new Sequence(model, 4);
  const logits: Float32Array[] = [];
  const take = async (position: number) => {
    const row = scope(() => model.unembed(sequence.hidden(position)));
    logits.push(await row.read());
    row.dispose();
  };
  if (!oneByOne) sequence.append(...ids);
  for (const [position, id] of ids.entries()) {
    if (oneByOne) sequence.append(id);
    if (oneByOne || position === 0) runTo(sequence, numLayers);
    await take(position);
  }
  sequence.dispose();
  return logits;
}

test.prop(
  [
    fc.constantFrom(...Object.keys(smallConfigs)),
    fc.constantFrom(...weightDtypes),
    fc.constantFrom("relaxed", "portable"),
    between(2, 20),
    fc.nat(),
  ],
  { numRuns: casesHere(40) },
)(
  "decoding one by one has the bits of one batch, for every family, weight type and build",
  async (name, dtype, build, length, seed) => {
    const device = await createDevice("wasm", { build: build as "portable" });
    const model = await smallModel({ config: smallConfigs[name]!, device, dtype });
    const ids = randomIds(length, 61, seed);
    expect(await trace(model, ids, true)).toEqual(await trace(model, ids, false));
    await device.dispose();
  },
);

it(
  "bfloat16 weights of a bfloat16 checkpoint change nothing; int8 and int4 keep predictions and perplexity",
  { timeout: 60_000 },
  async () => {
    const documents = (await embeddedTestDocuments()).slice(0, Math.max(7, casesHere(40)));
    const [float32, bfloat16, int8, int4] = await measureQuality(embedded, documents);
    expect(bfloat16!.agreement).toBeGreaterThan(0.999);
    expect(int8!.agreement).toBeGreaterThan(0.97);
    expect(int8!.perplexity / float32!.perplexity).toBeLessThan(1.01);
    expect(int4!.agreement).toBeGreaterThan(0.89);
    expect(int4!.perplexity / float32!.perplexity).toBeLessThan(1.03);
  },
);

it("everything is freed by dispose: a model, its heads and their training leave no byte", async () => {
  const device = await createDevice("wasm");
  const life = async () => {
    const model = await readModel(embedded, { device });
    const heads = attachHeads(model, { exits: 2, kind: "linear" });
    await trainHeads(heads, [times(60, (i) => (7 * i) % 250)], {
      steps: 2,
      batchSize: 1,
      sequenceLength: 32,
    });
    for await (const token of generate(heads, [1, 2], { maxNewTokens: 5, stopAtEndOfText: false })) {
      expect(token.depth).toBeGreaterThan(0);
    }
    heads.dispose();
    model.dispose();
  };
  await life(); // working memory stays with the device
  const { used } = device.memory!();
  await life();
  expect(device.memory!().used).toBe(used);
  await device.dispose();
});
