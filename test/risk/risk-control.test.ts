/** Risk control on plain arrays: the choice, its certificate, and tables that are none. */
import { between, fc, real, test } from "../support/property.js";
import { bettingBound, clopperPearson, errorFreeUnits, riskControl } from "early-exits/risk";
import { createRng } from "early-exits/tensor";
import { expect, it } from "vitest";
import { expectCode } from "../support/expect-code.js";
import { times } from "../support/lists.js";

const options = { epsilon: 0.1, delta: 0.05 };
const column = (losses: readonly number[]) => losses.map((loss) => [loss]);

// No losses, few, and many.
const rows = times(120, (i) => [0, Number(i % 60 === 0), Number(i % 3 === 0)]);

it("chooses the laxest candidate before the first failure, and says how in plain JSON", () => {
  const { chosen, certificate } = riskControl(rows, { ...options, binary: true });
  const tested = [0, 1, 2].map((candidate) => {
    const losses = rows.map((row) => row[candidate]!);
    const { mean, pValue } = clopperPearson(losses, 0.1, 0.05);
    return { mean, pValue };
  });
  expect([chosen, JSON.parse(JSON.stringify(certificate))]).toMatchObject([
    1,
    {
      format: "early-exits/risk",
      version: 1,
      ...options,
      seed: 0,
      bound: "binomial",
      units: 120,
      candidates: 3,
      tested,
      chosen: 1,
      furtherUnits: 0,
    },
  ]);
  const { certificate: failed } = riskControl(
    rows.map((row) => row.toReversed()),
    options,
  );
  expect([failed.chosen, failed.tested.length, failed.furtherUnits]).toEqual([null, 1, null]);
});

it("shuffles by the seed: losses in ascending order, which fool the betting bound, do not fool it", () => {
  const sorted = times(300, (i) => Number(i >= 240));
  expect(bettingBound(sorted, 0.1, 0.05).pValue).toBeLessThan(0.001); // the mean is .2
  for (const seed of times(20, Number)) {
    const { tested, chosen } = riskControl(column(sorted), { ...options, seed }).certificate;
    expect([chosen, tested[0]!.pValue]).toEqual([
      null,
      bettingBound(createRng(seed).shuffle(sorted), 0.1, 0.05).pValue,
    ]);
  }
});

it("estimates how many units are missing: without errors the closed formula, null if no number would do", () => {
  const missing = (losses: readonly number[], binary: boolean) =>
    riskControl(column(losses), { ...options, binary }).certificate.furtherUnits;
  expect(missing([0], true)).toBe(errorFreeUnits(0.1, 0.05) - 1);
  expect(missing([0], false)).toBeGreaterThan(28);
  expect([missing([0.0999, 0.0999], false), missing([1, 1], true)]).toEqual([null, null]);
});

test.prop([fc.nat(), between(1, 400), real(0.01, 0.6), fc.boolean(), real(0.01, 0.5), real(0.01, 0.5), real(0.1, 1)])(
  "accepts no more at a smaller ε or δ",
  (seed, n, scale, binary, epsilon, delta, factor) => {
    const rng = createRng(seed);
    const steps = binary ? 1 : 8;
    const table = times(n, () =>
      times(5, (c) => Math.min(1, Math.floor(steps * rng.uniform() * scale * (c + 1)) / steps)),
    );
    const at = (risk: number, chance: number) =>
      riskControl(table, { epsilon: risk, delta: chance, binary }).chosen ?? -1;
    expect(at(epsilon * factor, delta)).toBeLessThanOrEqual(at(epsilon, delta));
    expect(at(epsilon, delta * factor)).toBeLessThanOrEqual(at(epsilon, delta));
  },
);

it.for([
  [[], {}, "losses-shape", "one row for each unit"],
  [undefined, {}, "losses-shape", "found undefined"],
  [[0, 1, 0], {}, "losses-shape", "give [[loss], [loss], …]"],
  [[[]], {}, "losses-few", "row 0"],
  [[[0, 0], [0]], {}, "lengths-differ", "row 1 has 1 losses, row 0 has 2"],
  [[[0], [NaN]], {}, "loss-range", "row 1: loss 0 is NaN"],
  [[[0, 1.2]], {}, "loss-range", "row 0: loss 1 is 1.2"],
  [[[0, "0"]], {}, "loss-range", 'loss 1 is "0"'],
  [[[0.5]], { binary: true }, "loss-binary", "row 0"],
  [rows, { epsilon: undefined }, "option-range", "epsilon: expected a number in (0, 1), found undefined"],
  [rows, { seed: 0.5 }, "option-range", "seed"],
] as const)("refuses %j with %j: %s", ([losses, asked, code, says]) =>
  expectCode(() => riskControl(losses as never, { ...options, ...asked } as never), code, says),
);
