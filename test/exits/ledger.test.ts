/** What blocks and heads cost: the golden figures of the method for Pythia and Llama 3, from their config.json alone. */
import { blockCost, headCost, readModelConfig } from "early-exits";
import { expect, it } from "vitest";

const pythia = (hidden_size: number, num_attention_heads: number, num_hidden_layers: number) =>
  readModelConfig({ model_type: "gpt_neox", hidden_size, num_attention_heads, num_hidden_layers, intermediate_size: 4 * hidden_size, vocab_size: 50_304 });
const llama3 = readModelConfig({ model_type: "llama", hidden_size: 4096, num_attention_heads: 32, num_key_value_heads: 8, num_hidden_layers: 32, intermediate_size: 14_336, vocab_size: 128_256, max_position_embeddings: 8192 });

it("pythia-70m: a block is 3.41 M multiply-adds at context 256, a dense head 25.76 M", () => {
  expect(blockCost(pythia(512, 8, 6)) / 1e6).toBeCloseTo(3.41, 2);
  expect(headCost(pythia(512, 8, 6), "dense") / 1e6).toBeCloseTo(25.76, 2);
});

it.each([["pythia-70m", pythia(512, 8, 6), 7.6], ["pythia-410m", pythia(1024, 16, 24), 3.9], ["pythia-2.8b", pythia(2560, 32, 32), 1.6], ["llama3-8b", llama3, 2.4]] as const)("%s: a dense head costs as much as blocks: %#", (_, config, blocks) => {
  expect(headCost(config, "dense") / blockCost(config)).toBeCloseTo(blocks, 1);
});

it("other heads count their own products and the vocabulary's", () => {
  const config = { hiddenSize: 8, vocabSize: 100 };
  expect([headCost(config, "tied"), headCost(config, "lowRank", 2), headCost(config, "lowRank"), headCost(config, "mlp", 4), headCost(config, "mlp")]).toEqual([864, 216, 216, 864, 928]);
});
