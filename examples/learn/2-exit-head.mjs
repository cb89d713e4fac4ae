/**
 * An exit head: the lens reads an early block badly, because its states do not lie where the last block's do. A linear
 * map before it, fitted in closed form to the model's own states, learns where they lie. No labels are needed. The
 * model here has six blocks and was trained without exits in mind, as most are; sotu-12 was trained to be read early.
 *   node examples/learn/2-exit-head.mjs
 *
 * Exercise: the fit below is for block 3. Fit a head after block 5 too. By how much is it better, and why does fitting
 * add less there? The answer: test/examples/2-exit-head.test.ts.
 */
import { pathToFileURL } from "node:url";
import { attachHeads } from "early-exits";
import { fitMaps, measureExits, streamedBatches } from "early-exits/exits";
import { openModel, speeches } from "./sotu.mjs";

/** The share of held-out tokens at which a head after block `depth` says what the model says, before and after. */
export async function agreement(model, depth, { train, held }) {
  const heads = attachHeads(model, { exits: [depth], kind: "linear" });
  const batches = (texts) => streamedBatches(model, texts, heads.depths);
  const [before] = await measureExits(heads, batches(held));
  await fitMaps(heads, batches(train));
  const [after] = await measureExits(heads, batches(held));
  heads.dispose();
  return { before: before.agreement, after: after.agreement };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const model = await openModel("sotu-6");
  const texts = { train: await speeches("train", 60), held: await speeches("test", 10) };
  const { before, after } = await agreement(model, 3, texts);
  console.log(`depth 3: ${(100 * before).toFixed(1)} % before fitting, ${(100 * after).toFixed(1)} % after`);
}
