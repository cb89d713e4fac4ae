/** A fit that is aborted, wherever that may be, leaves nothing on the device, and the heads as they were. */
import { attachHeads, fitProjections } from "early-exits";
import { fitMaps, fitPreviews } from "early-exits/exits";
import { createDevice } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { expectCode } from "../../support/expect-code.js";
import { randomDocuments, smallModel } from "../../support/models.js";
import { abortedAtCheck } from "../../support/signals.js";

const device = await createDevice("wasm", { threads: 1 });
const options = { sequenceLength: 32, batchSize: 4, positions: 256 };

describe.each(Object.entries({ fitMaps, fitProjections, fitPreviews }))("%s", (_, fit) => {
  it("aborted at any check rejects with the reason, and frees what it made", async () => {
    const model = await smallModel({ device });
    const heads = attachHeads(model, { exits: [1, 2], kind: "linear", preview: true, ahead: fit === fitPreviews });
    await fit(heads, randomDocuments(12, 32, 300), options); // the kernels' own rooms grow, and stay
    const others = randomDocuments(12, 32, 400);
    const before = await heads.hash();
    const { used } = device.memory!();
    await expectCode(fit(heads, others, { ...options, batchSize: 0 }), "option-range");
    let aborted = 0;
    for (let checks = 1; ; checks = Math.ceil(checks * 1.3)) {
      const reason = new Error(`enough at ${checks}`);
      const signal = abortedAtCheck(checks, reason);
      const outcome: unknown = await fit(heads, others, { ...options, signal }).catch((error: unknown) => error);
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
