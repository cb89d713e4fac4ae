/**
 * checkLossless: it finds no difference on a device that computes rows alike in every batch, and reports the first
 * difference on one that does not.
 */
import { attachHeads, createPolicy, type Device, type ExitHeads } from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import { createDevice, readModel } from "early-exits/node";
import { expect, it } from "vitest";
import { checkLossless, freeRows } from "../../lab/check-lossless.js";
import { randomIds, smallConfigs, smallModel } from "../support/models.js";

const prompts = [1, 2, 3, 4, 5, 6].map((length) => randomIds(length, 61, length));

/** A device whose products of several rows are a little larger than those of one row. */
function inexact(error: number): Device {
  const device = createReferenceDevice();
  return {
    ...device,
    info: { ...device.info, batchIndependent: false },
    kernels: {
      ...device.kernels,
      linear: (x, weight, rows, bias, residual) =>
        device.kernels.scale(device.kernels.linear(x, weight, rows, bias, residual), rows > 1 ? 1 + error : 1),
    },
  };
}

const headsOn = async (device: Device) =>
  attachHeads(await smallModel({ config: smallConfigs["llama"]!, device, gain: 4 }), { exits: [1, 3] });
const check = (heads: ExitHeads) =>
  checkLossless(heads, prompts, {
    policy: createPolicy(heads, ["never", "always"]),
    lossless: { costs: freeRows },
    maxNewTokens: 12,
    stopAtEndOfText: false,
  });

it("finds every bit equal on a batch-independent device, and counts the cost", async () => {
  const report = await check(await headsOn(createReferenceDevice()));
  expect(report).toMatchObject({
    backend: "reference",
    promised: true,
    prompts: 6,
    tokens: 72,
    equalBits: 72,
    largestDifference: 0,
    ties: 0,
    flips: 0,
    first: undefined,
  });
  expect(report.ledger.tokens).toBe(72);
  expect(report.plain.blocks).toBe(4 * 72);
  expect(report.acceptanceRate).toBeCloseTo(1 - report.ledger.wastedDrafts / report.ledger.drafted, 12);
});

it("counts ties and flips if rows computed together differ, and reports the first difference", async () => {
  const report = await check(await headsOn(inexact(0.03)));
  expect(report.promised).toBe(false);
  expect(report.flips).toBeGreaterThan(0);
  expect(report.equalBits).toBeLessThan(report.tokens);
  expect(report.ties).toBeGreaterThanOrEqual(report.flips); // a flip is a tie that went the other way
  const { ids, plainLogits, losslessLogits, gap } = report.first!;
  expect(ids[0]).not.toBe(ids[1]);
  expect(gap).toBe(plainLogits[0] - plainLogits[1]);
  expect(gap).toBeGreaterThanOrEqual(0);
  expect(losslessLogits[1]).toBeGreaterThanOrEqual(losslessLogits[0]);
});

it.each([
  [1, "float32"],
  [1, "bfloat16"],
  [1, "int8"],
  [2, "float32"],
  [2, "bfloat16"],
  [2, "int8"],
  [1, "int4"],
] as const)("on the CPU device, %d threads, %s, the embedded model: every bit is equal", async (threads, dtype) => {
  const device = await createDevice("wasm", { threads });
  const heads = attachHeads(await readModel("models/sotu-6", { device, dtype }), { exits: [3, 5], kind: "linear" });
  const report = await checkLossless(heads, ["The people of", "Our army"], {
    policy: createPolicy(heads, 0.2, { score: "maxProb" }),
    lossless: { costs: freeRows },
    maxNewTokens: 40,
    stopAtEndOfText: false,
  });
  expect(report).toMatchObject({ promised: true, tokens: 80, equalBits: 80, flips: 0 });
  expect(report.tokensPerRound).toBeGreaterThan(1.1);
  await device.dispose();
});
