/**
 * Multiple testing and certification on recorded losses: which candidates are accepted, which is chosen, and what bad
 * input meets.
 */
import { fc, test } from "@fast-check/vitest";
import { deviation, mean } from "d3-array";
import { OptionError } from "early-exits";
import { createRng } from "early-exits/tensor";
import { paperThreshold } from "early-exits/calibrate";
import { describe, expect, it } from "vitest";
import { binomialTail, errorFreeUnits } from "../../../src/calibrate/bounds/index.js";
import {
  anyChangeLosses,
  certifyLosses,
  type CertifyOptions,
  certifySelective,
  overallLosses,
  type Tally,
} from "../../../src/calibrate/procedures/certify-losses.js";
import { proposeOverall, proposeSelective } from "../../../src/calibrate/procedures/candidates.js";
import { costsOf } from "../../../src/calibrate/procedures/test-sequence.js";
import { createPopulation } from "../../../lab/simulate/population.js";
import { cascadePopulation, curvePopulation, populationFamilies } from "../../../lab/simulate/populations.js";
import { evenCosts } from "../../../lab/simulate/simulate.js";
import {
  requireTokenTable,
  takeDocuments,
  tallyVectors,
  type TokenTable,
} from "../../../src/calibrate/procedures/token-table.js";
import {
  bonferroni,
  conformalRiskControl,
  fixedSequence,
  type LossMatrix,
} from "../../../src/calibrate/procedures/testing.js";

const matrix = (rows: readonly (readonly number[])[]): LossMatrix => ({
  units: rows.length,
  candidates: rows[0]?.length ?? 0,
  values: Float64Array.from(rows.flat()),
});
const options: CertifyOptions = { epsilon: 0.1, delta: 0.05, costs: [3, 2, 1] };

describe("fixedSequence", () => {
  it("ends before the first failure, whatever comes after", () => {
    expect(fixedSequence([0.01, 0.05, 0.06, 0], 0.05)).toEqual([0, 1]);
    expect(fixedSequence([0.06, 0, 0], 0.05)).toEqual([]);
    expect(fixedSequence([0, 0.01], 0.05)).toEqual([0, 1]);
    expect(fixedSequence([], 0.05)).toEqual([]);
  });

  it("refuses a NaN instead of passing it", () => {
    expect(() => fixedSequence([0.01, NaN], 0.05)).toThrow(OptionError);
    expect(() => bonferroni([NaN], 0.05)).toThrow(OptionError);
    expect(() => fixedSequence([0.01], NaN)).toThrow(OptionError);
    expect(() => fixedSequence([0.01], 1)).toThrow(OptionError);
  });
});

it("bonferroni accepts each p <= δ/m, in any order", () =>
  expect(bonferroni([0.2, 0.0125, 0.013, 0], 0.05)).toEqual([1, 3]));

describe("conformalRiskControl", () => {
  it("replaces each unit's loss by the largest so far", () => {
    const { accepted, worstSoFar } = conformalRiskControl(
      matrix([[0.2, 0, 0.1], [0, 0.3, 0], ...Array.from({ length: 8 }, () => [0, 0, 1])]),
      0.16,
    );
    expect(worstSoFar.map((risk) => Number(risk.toFixed(12)))).toEqual([0.02, 0.05, 0.85]);
    expect(accepted).toEqual([0, 1]); // allowed: (.16 · 11 - 1) / 10 = .076
  });

  it("accepts nothing where n is too small for the level", () =>
    expect(conformalRiskControl(matrix([[0], [0]]), 0.1).accepted).toEqual([]));
});

describe("certifyLosses", () => {
  const perfect = matrix(Array.from({ length: 80 }, () => [0, 0, 1]));

  it("chooses the cheapest accepted candidate", () => {
    const result = certifyLosses(perfect, { ...options, bound: "clopperPearson" });
    expect(result).toMatchObject({
      accepted: [0, 1],
      chosen: 1,
      furtherUnits: 0,
      units: 80,
      procedure: "fixedSequence",
    });
    expect(certifyLosses(perfect, { ...options, costs: [1, 1, 0] }).chosen).toBe(0);
    expect(result.pValues[0]).toBe(binomialTail(0, 80, 0.1));
  });

  it("tests in the order given and stops at the first failure", () => {
    expect(certifyLosses(perfect, { ...options, order: [1, 2, 0] })).toMatchObject({ accepted: [1], chosen: 1 });
    expect(certifyLosses(perfect, { ...options, order: [2, 0, 1] })).toMatchObject({ accepted: [], chosen: "never" });
    expect(certifyLosses(perfect, { ...options, order: [2, 0, 1], procedure: "bonferroni" })).toMatchObject({
      accepted: [0, 1],
      chosen: 1,
    });
  });

  it("says how many more units would do: the formula, without errors", () => {
    const few = matrix(Array.from({ length: 10 }, () => [0]));
    expect(certifyLosses(few, { epsilon: 0.1, delta: 0.05, costs: [1], bound: "clopperPearson" })).toMatchObject({
      chosen: "never",
      furtherUnits: errorFreeUnits(0.1, 0.05) - 10,
    });
    for (const bound of ["wsr", "hoeffding", "hoeffdingBentkus"] as const) {
      expect(certifyLosses(few, { epsilon: 0.1, delta: 0.05, costs: [1], bound }).furtherUnits).toBeGreaterThan(10);
    }
  });

  it("and null where the risk seen is not below ε: no number would", () => {
    const wrong = matrix(Array.from({ length: 200 }, () => [1, 1]));
    for (const bound of ["wsr", "hoeffding", "hoeffdingBentkus", "clopperPearson"] as const) {
      expect(certifyLosses(wrong, { epsilon: 0.1, delta: 0.05, costs: [2, 1], bound })).toMatchObject({
        accepted: [],
        chosen: "never",
        furtherUnits: null,
      });
    }
  });

  it("one document certifies nothing", () => {
    for (const bound of ["wsr", "hoeffding", "hoeffdingBentkus", "clopperPearson"] as const) {
      expect(certifyLosses(matrix([[0]]), { epsilon: 0.1, delta: 0.05, costs: [1], bound }).chosen).toBe("never");
    }
  });

  it("meets bad input with a typed error", () => {
    for (const level of [0, 1, -0.1, 1.5, NaN]) {
      expect(() => certifyLosses(perfect, { ...options, epsilon: level })).toThrow(OptionError);
      expect(() => certifyLosses(perfect, { ...options, delta: level })).toThrow(OptionError);
    }
    expect(() => certifyLosses(matrix([]), options)).toThrow(OptionError);
    expect(() => certifyLosses(matrix([[NaN, 0, 0]]), options)).toThrow(/unit 0 under candidate 0 is NaN/);
    expect(() => certifyLosses(matrix([[1.5, 0, 0]]), options)).toThrow(OptionError);
    expect(() => certifyLosses({ ...perfect, units: 79 }, options)).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, costs: [1] })).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, costs: [1, NaN, 1] })).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, order: [0, 0] })).toThrow(OptionError);
    expect(() => certifyLosses(perfect, { ...options, order: [3] })).toThrow(OptionError);
    expect(() => certifyLosses(matrix([[0.5, 0, 0]]), { ...options, bound: "clopperPearson" })).toThrow(OptionError);
  });

  const losses = fc.record({
    seed: fc.nat(),
    n: fc.integer({ min: 2, max: 400 }),
    scale: fc.double({ min: 0.01, max: 0.6, noNaN: true }),
  });
  test.prop([
    losses,
    fc.constantFrom("wsr", "hoeffding", "hoeffdingBentkus"),
    fc.constantFrom("fixedSequence", "bonferroni"),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.3, max: 1, noNaN: true }),
  ])(
    "the accepted set shrinks as the agreement rises",
    ({ seed, n, scale }, bound, procedure, epsilon, delta, factor) => {
      const data = randomLosses(seed, n, scale);
      const at = (level: number): readonly number[] =>
        certifyLosses(data, { epsilon: level, delta, bound, procedure, costs: [5, 4, 3, 2, 1] }).accepted;
      const lax = new Set(at(epsilon));
      expect(at(epsilon * factor).every((candidate) => lax.has(candidate))).toBe(true);
    },
  );

  test.prop([
    losses,
    fc.constantFrom("wsr", "hoeffding", "hoeffdingBentkus"),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.01, max: 0.5, noNaN: true }),
    fc.double({ min: 0.1, max: 1, noNaN: true }),
  ])("and as δ falls", ({ seed, n, scale }, bound, epsilon, delta, factor) => {
    const data = randomLosses(seed, n, scale);
    const at = (level: number): readonly number[] =>
      certifyLosses(data, { epsilon, delta: level, bound, costs: [5, 4, 3, 2, 1] }).accepted;
    const lax = new Set(at(delta));
    expect(at(delta * factor).every((candidate) => lax.has(candidate))).toBe(true);
  });
});

function randomLosses(seed: number, n: number, scale: number): LossMatrix {
  const rng = createRng(seed);
  return matrix(
    Array.from({ length: n }, () =>
      Array.from({ length: 5 }, (_, c) => Math.min(1, Math.floor(8 * rng.uniform() * scale * (c + 1)) / 8)),
    ),
  );
}

const tallyOf = (left: number[][][], wrong: number[][][], tokens: number[], active?: number[]): Tally => {
  const documents = left.length;
  const candidates = left[0]!.length;
  const exits = left[0]![0]!.length;
  return {
    documents,
    candidates,
    exits,
    tokens: Int32Array.from(tokens),
    left: Int32Array.from(left.flat(2)),
    wrong: Int32Array.from(wrong.flat(2)),
    deep: new Int32Array(documents * candidates),
    active: Uint8Array.from(active ?? Array.from({ length: candidates * exits }, () => 1)),
  };
};

describe("certifySelective", () => {
  it("with tokens as units is the exact binomial, the worst exit deciding", () => {
    const tally = tallyOf([[[60, 20]], [[40, 30]]], [[[2, 0]], [[1, 1]]], [100, 100]);
    const result = certifySelective(tally, { epsilon: 0.1, delta: 0.05, unit: "token", costs: [1] });
    expect(result.exitPValues[0]).toEqual([binomialTail(3, 100, 0.1), binomialTail(1, 50, 0.1)]);
    expect(result.pValues).toEqual([binomialTail(1, 50, 0.1)]);
    expect(result.risks).toEqual([0.03]);
    expect(result.accepted).toEqual([0]);
  });

  it("an exit that no token left at has p = 1, unless it is not in use", () => {
    expect(
      certifySelective(tallyOf([[[100, 0]]], [[[0, 0]]], [100]), {
        epsilon: 0.1,
        delta: 0.05,
        unit: "token",
        costs: [1],
      }),
    ).toMatchObject({ chosen: "never", furtherUnits: null });
    expect(
      certifySelective(tallyOf([[[100, 0]]], [[[0, 0]]], [100], [1, 0]), {
        epsilon: 0.1,
        delta: 0.05,
        unit: "token",
        costs: [1],
      }),
    ).toMatchObject({ chosen: 0, exitPValues: [[binomialTail(0, 100, 0.1), null]] });
  });

  it("with documents as units, one bad document in ten is noise: no certificate where tokens give one", () => {
    const documents = Array.from({ length: 20 }, (_, d) => (d % 10 === 9 ? 40 : 0));
    const tally = tallyOf(
      documents.map(() => [[80]]),
      documents.map((wrong) => [[wrong]]),
      documents.map(() => 100),
    );
    expect(certifySelective(tally, { epsilon: 0.1, delta: 0.05, unit: "token", costs: [1] }).chosen).toBe(0);
    expect(certifySelective(tally, { epsilon: 0.1, delta: 0.05, costs: [1] })).toMatchObject({
      chosen: "never",
      unit: "document",
    });
    expect(certifySelective(tally, { epsilon: 0.1, delta: 0.05, costs: [1] }).furtherUnits).toBeGreaterThan(20);
  });

  it("all wrong is never certified", () => {
    const tally = tallyOf(
      Array.from({ length: 50 }, () => [[10]]),
      Array.from({ length: 50 }, () => [[10]]),
      Array.from({ length: 50 }, () => 10),
    );
    for (const unit of ["token", "document"] as const) {
      expect(certifySelective(tally, { epsilon: 0.1, delta: 0.1, unit, costs: [1] })).toMatchObject({
        chosen: "never",
        furtherUnits: null,
      });
    }
  });

  it("refuses counts that contradict each other", () => {
    const good = tallyOf([[[5]]], [[[1]]], [10]);
    const selective = (tally: Tally) => certifySelective(tally, { epsilon: 0.1, delta: 0.1, costs: [1] });
    expect(() => selective(good)).not.toThrow();
    expect(() => selective(tallyOf([[[5]]], [[[6]]], [10]))).toThrow(OptionError); // more wrong than left
    expect(() => selective(tallyOf([[[5]]], [[[1]]], [4]))).toThrow(OptionError); // more left than there are
    expect(() => selective(tallyOf([[[5]]], [[[1]]], [0]))).toThrow(OptionError);
    expect(() => selective(tallyOf([[[5]]], [[[1]]], [10], [0]))).toThrow(OptionError); // left at an exit not in use
    expect(() => selective({ ...good, documents: 2 })).toThrow(OptionError);
    expect(() => selective({ ...good, documents: 0 })).toThrow(OptionError);
  });

  test.prop([
    fc.nat(),
    fc.integer({ min: 1, max: 8 }),
    fc.double({ min: 0.5, max: 0.98, noNaN: true }),
    fc.double({ min: 0.01, max: 0.45, noNaN: true }),
  ])(
    "one exit, tokens as units, any candidates: never laxer than maxCoverage on the same tokens",
    (seed, levels, agreement, delta) => {
      const rng = createRng(seed);
      const scores = Array.from({ length: 150 }, () => Math.floor(levels * 10 * rng.uniform()) / 10);
      const agrees = scores.map((score) => rng.uniform() < 0.6 + (0.4 * score) / levels);
      const table = oneExit(scores, agrees);
      const vectors = [...new Set(scores)].sort((a, b) => b - a).map((threshold) => [threshold]);
      const { accepted } = certifySelective(tallyVectors(table, vectors), {
        epsilon: 1 - agreement,
        delta,
        unit: "token",
        costs: vectors.map(() => 1),
        procedure: "bonferroni",
      });
      const alone = vectors.filter(
        (vector) =>
          certifySelective(tallyVectors(table, [vector]), { epsilon: 1 - agreement, delta, unit: "token", costs: [1] })
            .chosen === 0,
      );
      const published = paperThreshold(scores, agrees, agreement, { score: "margin" });
      for (const [threshold] of [...accepted.map((i) => vectors[i]!), ...alone]) {
        expect(published).not.toBe("never");
        expect(threshold).toBeGreaterThanOrEqual(published as number);
      }
    },
  );
});

function oneExit(scores: readonly number[], agrees: readonly boolean[]): TokenTable {
  return {
    documents: 1,
    exits: 1,
    starts: Int32Array.of(0, scores.length),
    oriented: [Float64Array.from(scores)],
    agrees: [Uint8Array.from(agrees, Number)],
  };
}

describe("token tables and candidates", () => {
  const table = populationFamilies.plain(createRng(4)).draw(createRng(5), 60);

  it("a tally is what a plain walk over the tokens counts", () => {
    const vector = Array.from({ length: table.exits }, (_, exit) => -0.2 - 0.1 * exit);
    const tally = tallyVectors(table, [vector, vector.map(() => Infinity), vector.map(() => -Infinity)]);
    for (let d = 0; d < table.documents; d++) {
      const counted = { left: vector.map(() => 0), wrong: vector.map(() => 0) };
      for (let t = table.starts[d]!; t < table.starts[d + 1]!; t++) {
        const exit = vector.findIndex((threshold, e) => table.oriented[e]![t]! >= threshold);
        if (exit >= 0) counted.left[exit]!++;
        if (exit >= 0 && table.agrees[exit]![t] === 0) counted.wrong[exit]!++;
      }
      const row = d * 3 * table.exits;
      expect([...tally.left.subarray(row, row + table.exits)]).toEqual(counted.left);
      expect([...tally.wrong.subarray(row, row + table.exits)]).toEqual(counted.wrong);
      expect(tally.left.subarray(row + table.exits, row + 2 * table.exits).every((count) => count === 0)).toBe(true);
      expect(tally.left[row + 2 * table.exits]).toBe(tally.tokens[d]);
    }
    expect(
      overallLosses(tally)
        .values.filter((_, i) => i % 3 === 1)
        .every((loss) => loss === 0),
    ).toBe(true);
    expect(
      anyChangeLosses(tally).values.every((loss, i) => loss === (overallLosses(tally).values[i]! > 0 ? 1 : 0)),
    ).toBe(true);
  });

  it("predicts the risk and cost that the tally measures", () => {
    const costs = evenCosts(table.exits);
    for (const candidates of [
      proposeOverall(table, costs, { epsilon: 0.1 }),
      proposeSelective(table, costs, { epsilon: 0.1 }),
    ]) {
      expect(candidates.length).toBeGreaterThan(3);
      const tally = tallyVectors(
        table,
        candidates.map(({ thresholds }) => thresholds),
      );
      const { values } = overallLosses(tally);
      const measured = costsOf(tally, costs);
      candidates.forEach(({ risk, cost }, candidate) => {
        const mean = values.reduce(
          (sum, loss, i) => sum + (i % candidates.length === candidate ? loss / table.documents : 0),
          0,
        );
        expect(Math.abs(risk - mean)).toBeLessThan(1e-6); // document shares are rounded to 2^-24
        expect(Math.abs(cost - measured[candidate]!)).toBeLessThan(1e-12);
      });
    }
  });

  it("overall candidates get cheaper and riskier, and stay within ε on the grid split", () => {
    const candidates = proposeOverall(table, evenCosts(table.exits), { epsilon: 0.1 });
    for (const [i, { risk, cost }] of candidates.entries()) {
      expect(risk).toBeLessThanOrEqual(0.1);
      if (i > 0) expect(cost).toBeLessThan(candidates[i - 1]!.cost);
    }
  });

  it("a costly head is left out; with every head too costly there is nothing to test", () => {
    const costs = {
      ...evenCosts(table.exits),
      head: evenCosts(table.exits).head.map((_, exit) => (exit === 0 ? 5 : 0.01)),
    };
    for (const propose of [proposeOverall, proposeSelective]) {
      const candidates = propose(table, costs, { epsilon: 0.1 });
      expect(candidates.length).toBeGreaterThan(0);
      expect(candidates.every(({ thresholds }) => thresholds[0] === Infinity)).toBe(true);
      expect(propose(table, { ...costs, head: costs.head.map(() => 5) }, { epsilon: 0.1 })).toEqual([]);
    }
  });

  test.prop([fc.nat(), fc.constantFrom("ties", "plain", "uselessHead")])(
    "permuting tied scores changes nothing: not the candidates, not the tally, not the certificate",
    (seed, family) => {
      const population = populationFamilies[family](createRng(seed));
      const drawn = population.draw(createRng(seed + 1), 40);
      const rounded: TokenTable = {
        ...drawn,
        oriented: drawn.oriented.map((column) => column.map((score) => Math.round(score * 8) / 8)),
      };
      const permuted = permuteWithinDocuments(rounded, seed);
      const costs = evenCosts(population.exits);
      for (const propose of [proposeOverall, proposeSelective]) {
        const candidates = propose(rounded, costs, { epsilon: 0.2 });
        expect(propose(permuted, costs, { epsilon: 0.2 })).toEqual(candidates);
        if (candidates.length === 0) continue;
        const vectors = candidates.map(({ thresholds }) => thresholds);
        expect(tallyVectors(permuted, vectors)).toEqual(tallyVectors(rounded, vectors));
      }
    },
  );

  it("takes documents in the order asked", () => {
    const taken = takeDocuments(table, [5, 2]);
    expect(taken.starts[1]).toBe(table.starts[6]! - table.starts[5]!);
    expect([...taken.oriented[1]!]).toEqual([
      ...table.oriented[1]!.slice(table.starts[5], table.starts[6]),
      ...table.oriented[1]!.slice(table.starts[2], table.starts[3]),
    ]);
  });

  it("refuses NaN scores, empty documents and columns of other lengths", () => {
    const good = oneExit([1, 2, 3], [true, true, false]);
    expect(() => requireTokenTable("here", good)).not.toThrow();
    expect(() => requireTokenTable("here", oneExit([1, NaN], [true, true]))).toThrow(OptionError);
    expect(() => requireTokenTable("here", { ...good, starts: Int32Array.of(0, 0, 3), documents: 2 })).toThrow(
      OptionError,
    );
    expect(() => requireTokenTable("here", { ...good, agrees: [Uint8Array.of(1)] })).toThrow(OptionError);
    expect(() => requireTokenTable("here", { ...good, documents: 0 })).toThrow(OptionError);
    expect(() => proposeOverall(good, evenCosts(1), { epsilon: NaN })).toThrow(OptionError);
  });
});

/** The tokens of each document in another order, all columns alike. */
function permuteWithinDocuments(table: TokenTable, seed: number): TokenTable {
  const rng = createRng(seed);
  const order = Array.from({ length: table.documents }, (_, d) =>
    rng.shuffle(Array.from({ length: table.starts[d + 1]! - table.starts[d]! }, (_unused, i) => table.starts[d]! + i)),
  ).flat();
  return {
    ...table,
    oriented: table.oriented.map((column) => Float64Array.from(order, (t) => column[t]!)),
    agrees: table.agrees.map((column) => Uint8Array.from(order, (t) => column[t]!)),
  };
}

describe("populations", () => {
  it("the curve population: selective agreement is 1 - .2 τ²", () => {
    for (const tau of [0.1, 0.5, Math.SQRT1_2, 1]) {
      expect(Math.abs(curvePopulation().truth([-tau], "tokens").exits[0]!.risk - 0.2 * tau ** 2)).toBeLessThan(2e-5);
    }
  });

  it("the cascade population: .910 on all tokens, .815 on those it answers", () => {
    const population = cascadePopulation();
    expect(1 - population.truth([Infinity, -Infinity], "tokens").exits[1]!.risk).toBeCloseTo(0.91, 4);
    expect(1 - population.truth([1, -Infinity], "tokens").exits[1]!.risk).toBeCloseTo(0.815, 12);
  });

  it.for(Object.keys(populationFamilies) as (keyof typeof populationFamilies)[])(
    "the stated truth of %s is what a large draw shows",
    (family) => {
      if (family === "drift") return; // its draws are not its truth: that is its vice
      const population = populationFamilies[family](createRng(11));
      const table = population.draw(createRng(12), 4000);
      const vector = Array.from(
        { length: population.exits },
        (_, exit) => [...table.oriented[exit]!].sort((a, b) => b - a)[Math.floor(table.oriented[exit]!.length * 0.4)]!,
      );
      const { values } = overallLosses(tallyVectors(table, [vector]));
      const error = deviation(values)! / Math.sqrt(values.length);
      const { risk } = population.truth(vector, "documents");
      expect(Math.abs(mean(values)! - risk)).toBeLessThan(4 * error + 1e-9);
    },
  );

  it("refuses parts that do not fit", () =>
    expect(() => createPopulation({ name: "x", classes: [], kinds: [] })).toThrow(OptionError));
});
