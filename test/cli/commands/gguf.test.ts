/** Commands on a model in a GGUF file; own-text.test.ts trains, calibrates and generates with one. */
import { mkdirSync, writeFileSync } from "node:fs";
import { expect, it } from "vitest";
import { ggufModel } from "../../support/gguf/model.js";
import { cli, parseJson, scratch, succeed, words } from "../support.js";

const folder = scratch();
const { files, name } = await ggufModel({ type: "Q8_0", parts: 2, config: { tie_word_embeddings: true } });
mkdirSync(folder.path("model"));
for (const [file, bytes] of Object.entries(files)) writeFileSync(folder.path("model", file), bytes);
const model = folder.path("model", name);

it("plans for a GGUF file without its weights, with the types of its tensors", async () => {
  const { out } = await succeed(words`plan ${model}`);
  for (const fact of ["llama", "Q8_0 99.6 %", "F32 0.4 %", "embeddings tied", "288 entries", "unused tensors  none"]) {
    expect(out).toContain(fact);
  }
  const { dtypes, missing, misshapen, plans } = parseJson((await cli(words`plan ${model} --json`)).out);
  expect(Object.keys(dtypes as object).sort()).toEqual(["F32", "Q8_0"]);
  expect([missing, misshapen]).toEqual([[], []]);
  expect(plans).toHaveLength(2 * 3);
});
