/** Every step on a model in a GGUF file: plan, train, calibrate, verify, decode, compare, score. */
import { mkdirSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { ggufModel } from "../../support/gguf/model.js";
import { cli, parseJson, scratch, sentences, succeed, words, writeText } from "../support.js";

const folder = scratch();
afterAll(folder.remove);
const { files, name } = await ggufModel({ type: "Q8_0", parts: 2, config: { tie_word_embeddings: true } });
mkdirSync(folder.path("model"));
for (const [file, bytes] of Object.entries(files)) writeFileSync(folder.path("model", file), bytes);
const model = folder.path("model", name);
const heads = folder.path("heads");
const certified = folder.path("certified.json");
const policy = folder.path("policy.json");
const text = writeText(folder.path("text.txt"), sentences(20));
const held = writeText(folder.path("held.txt"), sentences(8, 100));

describe("a GGUF file in place of a model folder", () => {
  it("is planned for without its weights, with the types of its tensors", async () => {
    const { out } = await succeed(words`plan ${model}`);
    for (const fact of [
      "llama",
      "Q8_0 99.6 %",
      "F32 0.4 %",
      "embeddings tied",
      "288 entries",
      "unused tensors  none",
    ]) {
      expect(out).toContain(fact);
    }
    const { dtypes, missing, misshapen, plans } = parseJson((await cli(words`plan ${model} --json`)).out);
    expect(Object.keys(dtypes as object).sort()).toEqual(["F32", "Q8_0"]);
    expect([missing, misshapen]).toEqual([[], []]);
    expect(plans).toHaveLength(2 * 3);
  });

  it("gets heads, a certificate, a policy and text with early exits", async () => {
    await succeed(words`
      train ${model} --text ${text} --depths 1,2 --steps 4 --batch 2 --sequence 32 --device reference --out ${heads}`);
    const calibrate = words`calibrate ${model} --heads ${heads} --text ${held} --agreement .5 --device reference`;
    await succeed(words`${calibrate} --out ${certified}`);
    const { out } = await succeed(words`
      certificate verify ${certified} --model ${model} --heads ${heads} --text ${held} --device reference`);
    expect(out).toMatch(/^Reproduced from model, heads and text: /);
    await succeed(words`${calibrate} --paper --out ${policy}`);
    const generate = words`generate ${model} --prompt river --max-new-tokens 8 --device reference`;
    const plain = await succeed(generate);
    const early = await succeed(words`${generate} --heads ${heads} --policy ${policy}`);
    expect(plain.out.length).toBeGreaterThan(0);
    expect(early.out.length).toBeGreaterThan(0);
    expect((await succeed(words`${generate} --heads ${heads} --policy ${policy} --lossless`)).out).toBe(plain.out);
    await succeed(words`
      eval ${model} --task ${held} --kind perplexity --limit 2 --heads ${heads} --policy ${policy} --device reference`);
    expect((await cli(words`plan ${model} --heads ${heads} --text ${held} --device reference`)).code).toBe(0);
  });

  it("is refused in one sentence if it is damaged or missing", async () => {
    const damaged = folder.path("damaged.gguf");
    writeFileSync(damaged, files[name]!.subarray(0, 1000));
    const { code, err } = await cli(words`plan ${damaged}`);
    expect(code).toBe(1);
    expect(err).toMatch(/^error: .*damaged\.gguf: it announces 288 strings in .*; is it complete\?\n$/);
    expect((await cli(words`plan ${folder.path("none.gguf")}`)).err).toMatch(/none\.gguf: there is no such file/);
  });
});
