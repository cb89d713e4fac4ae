/**
 * Do claims about answers keep their promise? Tables of losses from populations whose means are known exactly: prompts
 * of three kinds, which candidates change with probabilities of their own. The hardest place is the border: the mean
 * loss of one candidate is just above ε. Mutants that look right must fail there, and paying for a choice mends it.
 * `npm run test:laws` draws 2,000 tables of each, `npm test` 40; LAWS_SCALE multiplies those.
 */
import { createRng, type Rng } from "early-exits/tensor";
import { describe, expect, it } from "vitest";
import { isRight } from "../../src/calibrate/record/answers/losses.js";
import { wsrPValue } from "../../src/risk/betting-bound.js";
import { certifyLosses, columnOf, type LossMatrix, meansOf } from "../../src/risk/certify-losses.js";
import { expectAtLeast, expectKept, permitted, reportFindings, runsOf } from "../support/finding.js";
import { failing } from "../support/expect-code.js";
import { sumOf, times } from "../support/lists.js";

reportFindings();

const CANDIDATES = 4;
const UNITS = 300;
const RUNS = process.env["LAWS"] === "full" ? 2000 : runsOf(40);

/** Of a kind of prompts: its share, how often each candidate changes an answer, and how often that loses or wins it. */
interface Kind {
  readonly share: number;
  readonly changes: readonly number[];
  readonly lost: number;
  readonly won: number;
}
type Losses = (rng: Rng, kind: Kind) => number;

/** Losses of an answer that changes, and their mean. */
const losses: Record<
  string,
  {
    readonly of: Losses;
    readonly mean: (kind: Kind) => number;
    readonly flags: Pick<LossMatrix, "binary" | "signed">;
  }
> = {
  changed: { of: () => 1, mean: () => 1, flags: { binary: true } },
  worse: { of: (rng, { lost }) => Number(rng.uniform() < lost), mean: ({ lost }) => lost, flags: { binary: true } },
  accuracy: {
    of: (rng, { lost, won }) => {
      const u = rng.uniform();
      return u < lost ? 1 : u < lost + won ? -1 : 0;
    },
    mean: ({ lost, won }) => lost - won,
    flags: { binary: false, signed: true },
  },
  rougeL: {
    of: (rng, { lost }) => lost + (1 - lost) * rng.uniform(),
    mean: ({ lost }) => (1 + lost) / 2,
    flags: { binary: false },
  },
  own: { of: (rng) => rng.uniform() ** 3, mean: () => 1 / 4, flags: { binary: false } },
  /** Out of range. */
  wide: { of: () => 4, mean: () => 4, flags: { binary: false } },
};
const names = Object.keys(losses).slice(0, -1);

/** Random kinds: easy and hard ones, rare and common, candidates that grow laxer or not, gains beside losses. */
function population(seed: number): readonly Kind[] {
  const rng = createRng(seed);
  const shares = times(3, () => 0.1 + rng.uniform());
  return shares.map((share) => {
    const lost = 0.3 + 0.5 * rng.uniform();
    const base = seed % 2 === 0 ? 0.02 : 0.3;
    const changes = times(CANDIDATES, (c) =>
      Math.min(1, base * (seed % 3 === 0 ? 1 + rng.uniform() : 1 + c) * rng.uniform()),
    );
    return { share: share / sumOf(shares, Number), changes, lost, won: 0.5 * lost * rng.uniform() };
  });
}

const truthOf = (kinds: readonly Kind[], name: string, candidate: number): number =>
  sumOf(kinds, (kind) => kind.share * kind.changes[candidate]! * losses[name]!.mean(kind));

function draw(kinds: readonly Kind[], name: string, units: number, rng: Rng): LossMatrix {
  const { of, flags } = losses[name]!;
  const values = new Float64Array(units * CANDIDATES);
  for (let unit = 0; unit < units; unit++) {
    let u = rng.uniform();
    const kind = kinds.find(({ share }) => (u -= share) < 0) ?? kinds[0]!;
    for (let c = 0; c < CANDIDATES; c++) {
      values[unit * CANDIDATES + c] = rng.uniform() < kind.changes[c]! ? of(rng, kind) : 0;
    }
  }
  return { units, candidates: CANDIDATES, ...flags, values };
}

/** How many candidates are accepted; the first of them that exceeds ε breaks the promise. */
type Rule = (matrix: LossMatrix, epsilon: number, rng: Rng) => readonly number[];
const DELTA = 0.05;
const accepts = (matrix: LossMatrix, epsilon: number, delta = DELTA): boolean =>
  certifyLosses(matrix, { epsilon, delta }).accepted > 0;
const alone = (matrix: LossMatrix, candidate: number): LossMatrix => ({
  ...matrix,
  candidates: 1,
  values: columnOf(matrix, candidate),
});
const sequence: Rule = (matrix, epsilon) => times(certifyLosses(matrix, { epsilon, delta: DELTA }).accepted, Number);
/** Tests on thirds of the units, each shuffled by a seed of its own. */
const bestOf =
  (delta: number): Rule =>
  (matrix, epsilon, rng) => {
    const units = UNITS / 3;
    const third = () => Float64Array.from(rng.shuffle([...columnOf(matrix, 0)]).slice(0, units));
    const first = { ...alone(matrix, 0), units };
    return times(3, () => accepts({ ...first, values: third() }, epsilon, delta)).some(Boolean) ? [0] : [];
  };
/** The first candidate, with losses read in some way. */
const reading =
  (loss: (value: number, unit: number) => number): Rule =>
  (matrix, epsilon) => {
    const first = alone(matrix, 0);
    return accepts({ ...first, values: first.values.map(loss) }, epsilon) ? [0] : [];
  };
/** The full model answers each prompt with a word of its own, expected there, and a policy that loses with nothing. */
const judgedOn = (shift: number) =>
  reading((loss, unit) => {
    const [full, expected] = [unit, (unit + shift) % UNITS].map((number) => `word ${number}`) as [string, string];
    return Number(isRight(full, expected)) - Number(isRight(loss > 0 ? "" : full, expected));
  });
/** Rules that look right, and are not. */
const mutants: readonly (readonly [where: string, loss: string, rule: Rule])[] = [
  [
    "going on after a failure",
    "changed",
    (matrix, epsilon) => times(CANDIDATES, Number).filter((c) => accepts(alone(matrix, c), epsilon)),
  ],
  [
    "the grid split tests what it proposed",
    "changed",
    (matrix, epsilon) => {
      const means = meansOf(matrix);
      const best = means.indexOf(Math.min(...means));
      return accepts(alone(matrix, best), epsilon) ? [best] : [];
    },
  ],
  ["the best of three seeds", "changed", bestOf(DELTA)],
  ["a loss out of range, cut to 1", "wide", reading((loss) => Math.min(1, loss))],
  ["answers judged on another prompt", "worse", judgedOn(1)],
];

/** The shares of runs in which a rule accepts all candidates, and in which it accepts one above ε. */
function rates(kinds: readonly Kind[], name: string, epsilon: number, rule: Rule, runs = RUNS) {
  const risks = times(CANDIDATES, (c) => truthOf(kinds, name, c));
  const root = createRng(7).fork(`${name} ${epsilon}`);
  let broken = 0;
  let accepted = 0;
  for (let run = 0; run < runs; run++) {
    const rng = root.fork(`run ${run}`);
    const found = rule(draw(kinds, name, UNITS, rng), epsilon, rng);
    accepted += Number(found.length === CANDIDATES) / runs;
    broken += Number(found.some((c) => risks[c]! > epsilon)) / runs;
  }
  return { broken, accepted };
}

const JUST_ABOVE = 1.0001;

it.for(names)("the promise holds for the loss %s on eight populations, with a candidate just above ε", (procedure) => {
  for (const seed of times(8, Number)) {
    const kinds = population(seed);
    const epsilon = truthOf(kinds, procedure, 2) / JUST_ABOVE;
    const { broken } = rates(kinds, procedure, epsilon, sequence);
    expectKept({ where: `answers, population ${seed}`, procedure, delta: DELTA, runs: RUNS, measured: broken });
  }
});

it.for(names)(
  "of the loss %s, an oracle's choice is certified in half of the runs where the largest mean is a third of ε",
  (procedure) => {
    const kinds = population(0);
    const epsilon = Math.max(...times(CANDIDATES, (c) => truthOf(kinds, procedure, c))) * 3 + 0.02;
    const { accepted } = rates(kinds, procedure, epsilon, sequence);
    expectAtLeast({
      law: "power",
      where: "answers",
      procedure,
      delta: DELTA,
      runs: RUNS,
      measured: accepted,
      limit: 0.5,
    });
  },
);

it("600 prompts without any loss certify one point of accuracy; losses out of range are refused", () => {
  const flat = { units: 600, candidates: 1, binary: false, values: new Float64Array(600) };
  expect(accepts({ ...flat, signed: true }, 0.01)).toBe(true);
  expect(wsrPValue(flat.values.fill(0.5), 0.505, DELTA)).toBeGreaterThan(DELTA); // with stakes of at most 1
  for (const signed of [false, true]) {
    const values = flat.values.with(3, 1.2);
    expect(() => accepts({ ...flat, signed, values }, 0.5)).toThrow(failing("loss-range"));
  }
});

describe("where all candidates lie just above ε", () => {
  const kinds: readonly Kind[] = [{ share: 1, changes: times(CANDIDATES, () => 0.2), lost: 0.5, won: 0.1 }];
  const about = { delta: DELTA, runs: Math.max(300, RUNS) };
  const brokenBy = (rule: Rule, name: string): number =>
    rates(kinds, name, truthOf(kinds, name, 0) / JUST_ABOVE, rule, about.runs).broken;

  it.for(mutants)("breaks the promise: %s", ([where, procedure, rule]) => {
    const measured = brokenBy(rule, procedure);
    expectAtLeast({ ...about, procedure, where, measured, limit: permitted(DELTA, about.runs) });
  });

  it.for([
    ["three seeds, levels or fills share δ", bestOf(DELTA / 3), "changed"],
    ["answers are judged on their own prompts", judgedOn(0), "worse"],
  ] as const)("keeps it if %s", ([where, rule, procedure]) => {
    expectKept({ ...about, procedure, where, measured: brokenBy(rule, procedure) });
  });
});
