/** Predicted times are counts times unit times, checked by hand; every unit of every exit is measured. */
import { createPolicy, fitProjections, type LedgerReport, measureUnitTimes, type UnitTimes } from "early-exits";
import { createDevice } from "early-exits/node";
import { carefulCosts, costOfRows } from "../../../src/exits/cost/unit-costs.js";
import { predictParts } from "../../../src/exits/cost/unit-times.js";
import { predictTime } from "early-exits/exits";
import { describe, expect, it } from "vitest";
import { generated } from "../../support/generated.js";
import { giveProjections, randomIds, smallConfigs, smallHeads } from "../../support/models.js";
import { expectCode } from "../../support/expect-code.js";

const times: UnitTimes = {
  block: [
    { rows: 1, cost: 2 },
    { rows: 4, cost: 5 },
  ],
  heads: [10, 20],
  finalHead: [
    { rows: 1, cost: 100 },
    { rows: 3, cost: 120 },
  ],
  fills: [
    { blocks: 3, cost: 1000 },
    { blocks: 1, cost: 400 },
  ],
};

describe("prediction", () => {
  it("interpolates between measured numbers of rows, and extrapolates beyond the last", () => {
    expect([1, 2, 3, 4, 6].map((rows) => costOfRows(times.block, rows))).toEqual([2, 3, 4, 5, 7]); // 7: by slope
    expect(costOfRows([{ rows: 1, cost: 2 }], 3)).toBe(6);
  });

  it("adds up passes, heads, fills and final heads", () => {
    const report = {
      passesByRows: [0, 3, 0, 0, 2],
      headsByExit: [5, 1],
      fillsByBlocks: [0, 2, 0, 1],
      finalHeadsByRows: [0, 4, 1],
    } as unknown as LedgerReport;
    expect(predictTime(report, times)).toBe(2396); // the sum of these:
    expect(predictParts(report, times)).toEqual({
      blocks: 5 * 2,
      furtherRows: 2 * (5 - 2),
      heads: 5 * 10 + 20,
      fills: 2 * 400 + 1000,
      finalHead: 4 * 100 + 110,
    });
  });

  it("includes every unit that ran in a real run", async () => {
    const heads = await smallHeads();
    await fitProjections(heads, [randomIds(64, 61, 1)], { sequenceLength: 32 });
    const policy = createPolicy(heads, [-1, "always"], { fill: "project" });
    const { ledger } = (await generated(heads, [1, 2, 3], { policy, maxNewTokens: 6 })).summary;
    expect(ledger.fillsByBlocks).toEqual([0, 6]);
    expect(predictTime(ledger, times)).toBe(6 * (3 * 2 + 10 + 20 + 400));
  });
});

it("a second row of int8 is cheap without a measurement if a dot of bytes is one instruction", async () => {
  const heads = await smallHeads({}, { dtype: "int8" });
  const dear = carefulCosts(heads).block[1]!.cost;
  Object.assign(heads.model.device.info, { byteDots: true });
  expect(carefulCosts(heads).block[1]!.cost).toBeLessThan(dear);
});

/** Short measurements with a clock that advances by 1 at every reading. */
function counting() {
  let clock = 0;
  return { context: 8, time: 10, now: () => clock++ };
}

it("measures every unit, in the order of the exits, with the clock that it is given", async () => {
  const heads = await giveProjections(await smallHeads({ exits: [1, 3, 4] }));
  const measured = await measureUnitTimes(heads, { fill: "project", rows: [1, 2], ...counting() });
  // Every unit takes 1, and a block a quarter of a pass.
  const byRows = (cost: number) => [1, 2].map((rows) => ({ rows, cost }));
  expect(measured).toEqual({
    block: byRows(0.25),
    heads: [1, 1, 1],
    finalHead: byRows(1),
    fills: [
      { blocks: 3, cost: 1 },
      { blocks: 1, cost: 1 },
      { blocks: 0, cost: 0 },
    ],
  });
});

it("fill shared: times the making of the shared keys and values, not the blocks that run up to there", async () => {
  const config = smallConfigs["llama, shared keys and values"]!; // block 2 of 4 makes them
  const heads = await smallHeads({ exits: [1, 2, 3] }, { config });
  const { fills } = await measureUnitTimes(heads, { fill: "shared", rows: [1], ...counting() });
  // blocks, cost
  expect(fills.map((fill) => Object.values(fill).join())).toEqual(["1,1", "0,0", "0,0"]);
});

it.each([
  [{ rows: [] }, "option-range"],
  [{ rows: [2, 3] }, "option-range"],
  [{ rows: [1, 3, 3] }, "option-range"],
  [{ rows: [1, 1.5] }, "option-range"],
  [{ fill: "project" }, "policy-fill"],
  [{ fill: "shared" }, "fill-shared"],
] as const)("refuses %j", async (options, code) => {
  const heads = await smallHeads({ exits: [1] });
  await expectCode(measureUnitTimes(heads, options), code);
});

it("ends with the reason of its signal, and frees its sequence", async () => {
  const device = await createDevice("wasm", { threads: 1 });
  const heads = await smallHeads({ exits: [1] }, { device });
  const options = { rows: [1], time: 1 };
  await measureUnitTimes(heads, options); // the kernels' own rooms grow, and stay
  const used = device.memory!().used;
  const reason = new Error("enough");
  await expect(measureUnitTimes(heads, { ...options, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(device.memory!().used).toBe(used);
  await device.dispose();
});
