/** A fit that is aborted, wherever that may be, leaves nothing on the device, and the heads as they were. */
import { attachHeads, type ExitHeads, fitProjections } from "early-exits";
import { fitMaps, fitPreviews } from "early-exits/exits";
import { createDevice } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { randomIds, smallModel } from "../../support/models.js";
import { abortedAtCheck } from "../../support/signals.js";

const device = await createDevice("wasm", { threads: 1 });
const documentsOf = (seed: number): number[][] => Array.from({ length: 12 }, (_, i) => randomIds(32, 61, seed + i));
const options = { sequenceLength: 32, batchSize: 4, positions: 256 };

type Fit = (heads: ExitHeads, documents: readonly number[][], signal?: AbortSignal) => Promise<void>;

const fits: Record<string, Fit> = {
  fitMaps: (heads, documents, signal) => fitMaps(heads, documents, { ...options, ...(signal && { signal }) }),
  fitProjections: (heads, documents, signal) =>
    fitProjections(heads, documents, { ...options, ...(signal && { signal }) }),
  fitPreviews: (heads, documents, signal) => fitPreviews(heads, documents, { ...options, ...(signal && { signal }) }),
};

describe.each(Object.entries(fits))("%s", (_, fit) => {
  it("aborted at any check rejects with the reason, and frees what it made", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 2], kind: "linear", preview: true });
    await fit(heads, documentsOf(300)); // the kernels' own rooms grow, and stay
    const others = documentsOf(400);
    const before = await heads.hash();
    const { used } = device.memory!();
    let aborted = 0;
    for (let checks = 1; ; checks = Math.ceil(checks * 1.3)) {
      const reason = new Error(`enough at ${checks}`);
      const outcome = await fit(heads, others, abortedAtCheck(checks, reason)).catch((error: unknown) => error);
      expect(device.memory!().used).toBe(used);
      if (outcome === undefined) break;
      expect(outcome).toBe(reason);
      expect(await heads.hash()).toBe(before);
      aborted++;
    }
    expect(aborted).toBeGreaterThan(5);
    expect(await heads.hash()).not.toBe(before);
  });
});
