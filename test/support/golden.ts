/** Compares a checkpoint with the numbers that PyTorch computed from it in float64 (golden.json beside it). */
import { join } from "node:path";
import { type Device, generate, type Model } from "early-exits";
import { readJson, readModel } from "early-exits/node";
import { expect } from "vitest";
import { largestDifference } from "./largest-difference.js";

export interface Golden {
  readonly inputIds: number[];
  readonly logits: number[];
  /** By depth; the last one after the final norm if there is a note, which says so. */
  readonly hiddenLastPosition: number[][];
  readonly greedy24: number[];
  readonly note?: string;
}

/** Compares a folder's logits at all positions, hidden states at the last position, and 24 greedy tokens. */
export async function expectGolden(folder: string, device: Device, tolerance: number) {
  const golden = (await readJson(join(folder, "golden.json"))) as Golden;
  const model = await readModel(folder, { device });
  expect(largestDifference(await model.logits(golden.inputIds), golden.logits)).toBeLessThan(tolerance);
  const { hiddenSize, numLayers } = model.config;
  const states = await model.hiddenStates(golden.inputIds);
  expect(states).toHaveLength(numLayers + 1);
  states.forEach((state, depth) => {
    if (depth === numLayers && golden.note !== undefined) return;
    const last = state.slice(-hiddenSize);
    expect(largestDifference(last, golden.hiddenLastPosition[depth]!)).toBeLessThan(tolerance);
  });
  await expectGreedy(model, golden.inputIds, golden.greedy24);
  model.dispose();
}

async function expectGreedy(model: Model, prompt: readonly number[], expected: readonly number[]) {
  const run = generate(model, prompt, { maxNewTokens: expected.length, stopAtEndOfText: false });
  for await (const { depth } of run) expect(depth).toBe(model.config.numLayers);
  expect(run.summary.ids).toEqual(expected);
}

interface GoldenStories {
  readonly prompt_ids: readonly number[];
  readonly last_logits: readonly number[];
  readonly greedy_40: readonly number[];
}

/** Compares stories260K with NumPy's logits after a prompt, and with the 40 greedy tokens that follow. */
export async function expectGoldenStories(folder: string, device: Device, tolerance: number) {
  const { prompt_ids, last_logits, greedy_40 } = (await readJson(join(folder, "golden.json"))) as GoldenStories;
  const model = await readModel(folder, { device });
  const last = (await model.logits(prompt_ids)).slice(-model.config.vocabSize);
  expect(largestDifference(last, last_logits)).toBeLessThan(tolerance);
  await expectGreedy(model, prompt_ids, greedy_40);
}
