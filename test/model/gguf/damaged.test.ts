/** Damaged GGUF files load or are refused with an error of this library, at once; 20,000 of them: npm run fuzz. */
import { casesHere, test } from "../../support/property.js";
import { createReferenceDevice } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { concat, u32, u64, VALUE } from "../../support/gguf/bytes.js";
import { number } from "../../support/gguf/convert.js";
import { ggufModel } from "../../support/gguf/model.js";
import { checkMutatedGguf, mutatedGguf } from "../../support/gguf/mutations.js";

const device = createReferenceDevice();

test.prop([mutatedGguf], { numRuns: casesHere(2000) })(
  "a damaged file loads or is refused in under half a second",
  async (file) => expect(await checkMutatedGguf(file, device)).toMatch(/^[a-z0-9-]+$/),
);

describe("absurd but legal numbers are refused before anything of their size is made", () => {
  const array = (type: number, count: bigint) => [VALUE.array, concat(u32(type), u64(count))] as const;
  const cases = {
    "llama.block_count": number(1e9),
    "llama.embedding_length": number(2 ** 30),
    "llama.feed_forward_length": [VALUE.uint64, u64(10n ** 12n)],
    "llama.attention.head_count": number(1e9),
    "llama.attention.key_length": number(2 ** 31),
    "tokenizer.ggml.tokens": array(VALUE.string, 10n ** 9n),
    "tokenizer.ggml.token_type": array(VALUE.uint32, 10n ** 12n),
  } as const;
  it.each(Object.entries(cases))("%s", async (key, value) => {
    const { files, name } = await ggufModel({ pairs: { [key]: value } });
    const before = process.memoryUsage().arrayBuffers;
    expect(await checkMutatedGguf({ bytes: files[name]!, edits: [key] }, device)).not.toBe("loaded");
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26);
  });
});
