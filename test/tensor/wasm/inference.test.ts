/**
 * The CPU device under a whole model: low precision keeps the predictions, and what is disposed of is freed. That steps
 * keep their bits: test/model/advance.test.ts.
 */
import { casesHere } from "../../support/property.js";
import { attachHeads, trainHeads } from "early-exits";
import { createDevice, readModel } from "early-exits/node";
import { expect, it } from "vitest";
import { embeddedTestDocuments, measureQuality } from "../../../lab/speed/quality.js";
import { generated } from "../../support/generated.js";
import { times } from "../../support/lists.js";

const embedded = "models/sotu-6";

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
    expect((await generated(heads, [1, 2])).ids).toHaveLength(12);
    heads.dispose();
    model.dispose();
  };
  await life(); // working memory stays with the device
  const { used } = device.memory!();
  await life();
  expect(device.memory!().used).toBe(used);
  await device.dispose();
});
