/** Checkpoints over HTTP give PyTorch's numbers, on a page and in a worker, on one thread and on two. */
import { generate } from "early-exits";
import { createDevice, readModel } from "early-exits/browser";
import { describe, expect, it } from "vitest";
import { largestDifference } from "../support/largest-difference.js";
import { golden, inWorker } from "./support/in-worker.js";

const TOLERANCE = 2e-4; // as in test/model/families.test.ts

describe.each(["gpt2-tiny", "gpt-neox-tiny", "llama-tiny-bf16-sharded"])("%s", (name) => {
  it("has PyTorch's logits and greedy tokens on a page", async () => {
    const { url, numbers } = await golden(name);
    const device = await createDevice("wasm");
    const model = await readModel(url, { device });
    expect(largestDifference(await model.logits(numbers.inputIds), numbers.logits)).toBeLessThan(TOLERANCE);
    const run = generate(model, numbers.inputIds, { maxNewTokens: 24, stopAtEndOfText: false });
    for await (const { depth } of run) expect(depth).toBe(model.config.numLayers);
    expect(run.summary.ids).toEqual(numbers.greedy24);
    await device.dispose();
  });

  it("has them in a worker, with the same bits on one thread and on two", async () => {
    const { url, numbers } = await golden(name);
    const one = await inWorker({ threads: 1, url, ids: numbers.inputIds });
    const two = await inWorker({ threads: 2, url, ids: numbers.inputIds });
    if (!one.ok || !two.ok) throw new Error(JSON.stringify([one, two]));
    expect([one.threads, two.threads]).toEqual([1, 2]);
    expect(largestDifference(one.logits, numbers.logits)).toBeLessThan(TOLERANCE);
    expect(one.greedy).toEqual(numbers.greedy24);
    expect(two).toEqual({ ...one, description: two.description, threads: 2 });
  });
});
