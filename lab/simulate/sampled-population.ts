/**
 * A population of sampled text. Each class of tokens has a next-token distribution of the full model, and one of each
 * head: the full model's logits with noise, which grows with the difficulty of the class and shrinks with the depth of
 * the exit. Temperature, topP and topK are drawn once. The loss of a token is the total variation of the two after
 * these processors, known exactly; the score is the head's own confidence, with a little noise.
 */
import { argmaxOf } from "../../src/model/index.js";
import { processedDistribution, samplingDefaults } from "../../src/model/decode/sampling.js";
import { totalVariation } from "../../src/model/decode/total-variation.js";
import type { Rng } from "../../src/tensor/index.js";
import { createPopulation, type ExitGivenClass, type Population } from "./population.js";

const VOCABULARY = 12;
const CLASSES = 60;

export function sampledPopulation(rng: Rng): Population {
  const exits = 2 + rng.integer(2);
  const error = 0.1 * 20 ** rng.uniform();
  const settings = {
    ...samplingDefaults,
    temperature: 0.4 + 0.8 * rng.uniform(),
    topP: [1, 0.95, 0.8][rng.integer(3)]!,
    topK: [0, 5][rng.integer(2)]!,
  };
  const classes = Array.from({ length: CLASSES }, (_, index) => {
    const difficulty = (index + 0.5) / CLASSES;
    const sharpness = 6 * (1 - 0.7 * difficulty);
    const logits = Float32Array.from({ length: VOCABULARY }, () => sharpness * rng.normal());
    const right = processedDistribution(logits, [], settings);
    return Array.from({ length: exits }, (_unused, exit): ExitGivenClass => {
      const noise = (error * difficulty ** 2 * (1 + exits - exit)) / exits;
      const guess = logits.map((logit) => logit + noise * sharpness * rng.normal());
      const plain = processedDistribution(guess, [], { ...samplingDefaults, temperature: 1 });
      const confidence = Math.max(...plain);
      return {
        low: confidence - 0.1,
        high: confidence + 0.1,
        agreement: Number(argmaxOf(guess) === argmaxOf(logits)),
        distance: totalVariation(right, processedDistribution(guess, [], settings)),
      };
    });
  });
  return createPopulation({
    name: "sampled",
    classes,
    kinds: [{ share: 1, length: [8, 12], classes: classes.map(() => 1) }],
  });
}
