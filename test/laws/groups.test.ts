/**
 * Do claims hold if documents come from few sources, or were given many times? Populations in which documents of a
 * group resemble each other (lab/simulate/grouped.ts), with 2 to 200 groups and correlations from 0 to 0.9. With groups
 * as units the share of broken claims is at most δ + 3 sqrt(δ (1 - δ) / runs); with documents as units, the very same
 * draws break it. What calibration says of dependence is said of truly grouped documents, and hardly ever of others.
 * LAWS_SCALE multiplies the runs; seeds are fixed. The findings go to the file that LAWS_REPORT names, for
 * lab/laws/run-groups.ts.
 */
import { createRng, type Rng } from "early-exits/tensor";
import { calibrateRecords, type GroupedDocument, playPolicy } from "early-exits/calibrate";
import { errorFreeUnits } from "early-exits/risk";
import { describe, expect, it } from "vitest";
import { type CopiedKind, drawCopied, riskOfCopied } from "../../lab/simulate/copied.js";
import {
  drawGroups,
  type GroupedDraw,
  randomSources,
  type Sources,
  sourcesPopulation,
  truthOf,
} from "../../lab/simulate/grouped.js";
import {
  createTrial,
  type GroupedTable,
  type ProcedureName,
  procedures,
  unitLosses,
} from "../../lab/simulate/procedures.js";
import { evenCosts } from "../../lab/simulate/simulate.js";
import { wsrPValue } from "../../src/risk/betting-bound.js";
import { tallyVectors } from "../../src/calibrate/procedures/token-table.js";
import { ownTextParts } from "../../apps/cli/documents.js";
import { certify, certifySettings } from "../../src/calibrate/certify/certify.js";
import { dependenceOf } from "../../src/calibrate/certify/dependence.js";
import { countedEvidence, type Evidence, type EvidenceDocument } from "../../src/calibrate/record/evidence.js";
import { arrange } from "../../src/calibrate/record/split.js";
import { smallHeads } from "../support/models.js";
import { expectAtLeast, expectKept, permitted, reportFindings, runsOf } from "../support/finding.js";
import { handmadeRecords } from "../support/records.js";
import { sumOf, times } from "../support/lists.js";
import { verdictOf } from "../support/verdict.js";

/** A group is certified from this many groups of a test without error: below it, "never exit" is the only answer. */
const DELTA = 0.05;

reportFindings();

/** The row of a finding. */
const rowOf = (where: string, runs: number, measured: number, procedure = "overallWsr") => ({
  where,
  procedure,
  delta: DELTA,
  runs,
  measured,
});

interface Cell extends GroupedDraw {
  readonly epsilon: number;
  /** @default drawn anew for each run */
  readonly sources?: Sources;
}

/** Violations and coverage of a procedure over many draws, with groups as units or with documents as units. */
function simulate(cell: Cell, unit: "group" | "document", runs: number, procedure: ProcedureName = "overallWsr") {
  const root = createRng(11);
  const truths: ReturnType<typeof truthOf>[] = [];
  let violations = 0;
  let coverage = 0;
  for (let run = 0; run < runs; run++) {
    const rng = root.fork(`run ${run}`);
    const spec = sourcesPopulation(cell.sources ?? randomSources(rng));
    const truth = truthOf(spec);
    truths.push(truth);
    const { groups, ...table } = drawGroups(spec, rng, cell);
    const all = unit === "group" ? { ...table, groups: groups! } : table;
    const trial = createTrial(all, rng, { costs: evenCosts(1), epsilon: cell.epsilon });
    const { risk, coverage: share } = truth(procedures[procedure].decide(trial, DELTA), "documents");
    if (risk > cell.epsilon * (1 + 1e-9)) violations++;
    coverage += share / runs;
  }
  /** The mean over the draws of the largest coverage that keeps the claim. */
  const oracle = () => {
    const most = truths.map((truth) => {
      const all = times(101, (i) => truth([-i / 100], "documents"));
      return Math.max(0, ...all.filter(({ risk }) => risk <= cell.epsilon).map((one) => one.coverage));
    });
    return sumOf(most, (share) => share / runs);
  };
  return { violations: violations / runs, coverage, oracle };
}

describe("groups as units", () => {
  const RUNS = runsOf(12);

  it.for([2, 8, 40, 200])("keep their promise with %i groups, at correlations 0 to 0.9", (groups) => {
    for (const correlation of [0, 0.3, 0.9]) {
      const cell = { groups, size: [1, 8], persistence: Math.sqrt(correlation), epsilon: 0.1 } as const;
      for (const procedure of ["overallWsr", "overallHoeffdingBentkus"] as const) {
        const { violations, coverage } = simulate(cell, "group", RUNS, procedure);
        const where = `${groups} groups, correlation ${correlation}`;
        expectKept({ ...rowOf(where, RUNS, violations, procedure), coverage });
        const tested = groups - Math.max(1, Math.round(0.4 * groups));
        if (tested < errorFreeUnits(cell.epsilon, DELTA)) expect(coverage).toBe(0);
      }
    }
  });

  it("have at least 80 % of the oracle's coverage from ten times the error-free minimum on", () => {
    const groups = Math.ceil((10 * errorFreeUnits(0.2, DELTA)) / 0.6);
    const cell = { groups, size: [1, 4], persistence: Math.sqrt(0.3), epsilon: 0.2 } as const;
    const runs = runsOf(20);
    const { coverage, oracle } = simulate(cell, "group", runs);
    const row = rowOf(`${groups} groups, correlation 0.3`, runs, coverage / oracle());
    expectAtLeast({ ...row, law: "power", limit: 0.8, coverage });
  });
});

describe("documents as units where sources matter (must fail)", () => {
  it("break a promise of 5 % far more often, on 20 sources x 20 documents", () => {
    // Few sources are hard: in every fourth draw none of the twenty is.
    const sources = { hard: 0.07, hostile: 0.8, benign: 0.01 };
    const cell = { groups: 20, size: [20, 20], persistence: Math.sqrt(0.9), epsilon: 0.05, sources } as const;
    const runs = runsOf(60);
    const [documents, groups] = (["document", "group"] as const).map((unit) =>
      rowOf("20 sources x 20 documents", runs, simulate(cell, unit, runs).violations),
    );
    expectAtLeast({ ...documents!, law: "documents as units: must fail", limit: 3 * DELTA });
    expectKept(groups!);
  });

  it("on the border: one vector whose risk is just above ε", () => {
    const root = createRng(3);
    const runs = runsOf(200);
    const accepted = { group: 0, document: 0 };
    const spec = sourcesPopulation(randomSources(createRng(1)));
    const vector = [-0.6];
    const epsilon = truthOf(spec)(vector, "documents").risk / 1.0001;
    for (let run = 0; run < runs; run++) {
      const draw = { groups: 60, size: [10, 10], persistence: Math.sqrt(0.6) } as const;
      const { groups, ...table } = drawGroups(spec, root.fork(`run ${run}`), draw);
      expect(groups).toHaveLength(60);
      const tally = tallyVectors(table, [vector]);
      const p = (of: GroupedTable) => wsrPValue(unitLosses(tally, of, "token").values, epsilon, DELTA);
      if (p({ ...table, groups: groups! }) <= DELTA) accepted.group++;
      if (p(table) <= DELTA) accepted.document++;
    }
    const where = "60 groups of 10, one vector just above ε";
    expectKept({ ...rowOf(where, runs, accepted.group / runs, "wsr"), law: "on the border" });
    const row = rowOf(where, runs, accepted.document / runs, "wsr");
    expectAtLeast({ ...row, law: "documents as units: must fail", limit: 2 * permitted(DELTA, runs) });
  });
});

it("groups of own text keep the promise, never in both halves; without them it breaks far more often", async () => {
  const { model } = await smallHeads();
  const settings = certifySettings({ agreement: 0.95, delta: DELTA, score: "maxProb", fill: "lazy" });
  const subject = handmadeRecords(1);
  const made = { score: "maxProb", fill: "lazy", thresholds: [[0.5, 0.5]], sequenceLength: 256 } as const;
  const runs = runsOf(40);
  const broken = { kept: 0, dropped: 0 };
  for (let run = 0; run < runs; run++) {
    const rng = createRng(run);
    const documents = times(400, (d) => ({ ids: [d, run], group: `${d % 20}`.padStart(64, "0") }));
    const { proposing, prompts } = ownTextParts(model, documents);
    // Few sources are hard: of ten, often none is. The mean loss of a source is 6.5 %.
    const losses = new Map(prompts.map(({ group }) => [group!, rng.uniform() < 0.07 ? 0.8 : 0.01]));
    expect([losses.size, proposing.filter((one) => losses.has((one as GroupedDocument).group!))]).toEqual([10, []]);
    const written = prompts.map(({ ids, group }) => {
      const wrong = times(64, () => rng.uniform()).filter((u) => u < losses.get(group!)!).length;
      return {
        hash: ids!.join("a").padStart(64, "0"),
        group: group!,
        tokens: 64,
        counts: { left: [64, 0], wrong: [wrong, 0], deep: [0] },
      };
    });
    for (const name of ["kept", "dropped"] as const) {
      const texts = name === "kept" ? written : written.map(({ hash, tokens, counts }) => ({ hash, tokens, counts }));
      const all = { ...made, format: "early-exits/policy-runs", version: 1, subject } as const;
      const evidence = countedEvidence({ ...all, documents: texts }, await arrange(texts, settings));
      const { policy } = await certify(evidence, settings);
      if (policy.exits.some(({ threshold }) => threshold !== "never")) broken[name]++;
    }
  }
  const where = "own text after prompts of 10 sources";
  expectKept(rowOf(where, runs, broken.kept / runs, "wsr"));
  const row = rowOf(where, runs, broken.dropped / runs, "wsr");
  expectAtLeast({ ...row, law: "groups dropped: must fail", limit: 3 * DELTA });
});

describe("what is said of dependence", () => {
  type Draw = (rng: Rng) => readonly Partial<EvidenceDocument & { loss: number }>[];
  /** The share of draws of test documents of which something is said. */
  const said = (runs: number, draw: Draw, ownText?: object) => {
    const root = createRng(9);
    const alarms = times(runs, (run) => {
      const drawn = draw(root.fork(`run ${run}`));
      const documents = drawn.map((one, d) => ({ hash: `${d}`, leader: `${d}`, tested: true, place: d, ...one }));
      const evidence = { unit: "document", documents, ownText } as unknown as Evidence;
      return dependenceOf(
        evidence,
        drawn.map(({ loss }) => loss!),
      );
    });
    return alarms.filter((one) => one !== null).length / runs;
  };
  const skewed = (rng: Rng) => rng.uniform() ** 4;
  /** Of sources of eight documents, whose level is a third of the variance. */
  const bySource = (rng: Rng, sourceOf: (d: number) => number, told?: "cluster" | "group") => {
    const levels = times(20, () => rng.normal());
    return times(160, (d) => {
      const loss = 0.3 + 0.06 * (levels[sourceOf(d)]! + Math.SQRT2 * rng.normal());
      return { loss: Math.min(1, Math.max(0, loss)), ...(told && { [told]: `source ${sourceOf(d)}` }) };
    });
  };
  const inOrder: Draw = (rng) => bySource(rng, (d) => Math.floor(d / 8));
  const opening = (rng: Rng) =>
    rng.uniform() < 0.4 ? { loss: 0.3 + 0.7 * rng.uniform(), cluster: "opening" } : { loss: skewed(rng) };

  it.for<[string, Draw, number?]>([
    ["a common opening, of harder texts", (rng) => times(160, () => opening(rng))],
    ["few sources, in order", inOrder, 0.6],
    ["few sources, shown by passages", (rng) => bySource(rng, (d) => d % 20, "cluster"), 0.9],
    ["few sources, named", (rng) => bySource(rng, (d) => d % 20, "group"), 0.9],
  ])("is said of few samples of independent documents, and of most others: %s", ([where, draw, power]) => {
    const runs = runsOf(60);
    const about = { ...rowOf(where, runs, said(runs, draw), "permutation tests"), delta: 0.01 };
    if (power === undefined) expectKept({ ...about, law: "false alarms" });
    else expectAtLeast({ ...about, law: "power", limit: power });
  });

  it("is never said of texts of the model's own", () => expect(said(runsOf(9), inOrder, {})).toBe(0));
});

describe("copies", () => {
  it("refuse a policy whose loss exceeds ε once every copy counts, wherever they lie", async () => {
    const records = handmadeRecords(200, { error: 0.3 });
    const plain = await calibrateRecords(records, { agreement: 0.9 });
    // The documents on which the accepted policy loses most, given fifty times more.
    const lossOf = (document: (typeof records.documents)[number]) =>
      1 - playPolicy({ ...records, documents: [document] }, plain.policy).agreement;
    const worst = records.documents.filter((document) => lossOf(document) > 0.15);
    expect(worst.length).toBeGreaterThan(2);
    const documents = [...records.documents, ...times(50, () => worst).flat()];
    const repeated = await calibrateRecords({ ...records, documents }, { agreement: 0.9 });
    const { documentAgreement, meanDepth } = playPolicy({ ...records, documents }, repeated.policy);
    expect(documentAgreement).toBeGreaterThanOrEqual(0.9);
    expect(meanDepth).toBeGreaterThan(plain.certificate.measured.meanDepth);
    expect(repeated.certificate.assumptions).toContain("documents-distinct");
  });

  // Violations count against the mean over draws. In each, "never exit" is not the only way to keep .95.
  const own = { share: 0.67, body: 40 };
  const template = { share: 0.33, body: 60, template: true };
  const short = { share: 0.25, header: 17, body: 6 };
  it.for<[string, readonly CopiedKind[]]>([
    [
      "a quarter short and hard below a shared header",
      [
        { ...own, share: 0.75, error: 0.05, header: 17 },
        { ...short, error: 0.8 },
      ],
    ],
    [
      "a hard template",
      [
        { ...own, error: 0.1 },
        { ...template, error: 1 },
      ],
    ],
    [
      "an easy template",
      [
        { ...own, error: 0.3 },
        { ...template, error: 0.01 },
      ],
    ],
    [
      "a template near the border",
      [
        { ...own, error: 0.05 },
        { ...template, error: 0.36 },
      ],
    ],
  ])("keep the promise with power, in any order of the file: %s", async ([where, kinds]) => {
    const runs = runsOf(6);
    const root = createRng(7);
    let [broken, certified] = [0, 0];
    for (let run = 0; run < runs; run++) {
      const rng = root.fork(`run ${run}`);
      const records = drawCopied(rng, kinds, 300);
      const options = { score: "margin", candidates: 12, seed: run } as const;
      const { policy, certificate } = await calibrateRecords(records, options);
      const risk = riskOfCopied(kinds, policy.exits[0]!.threshold);
      if (risk > 0.05) broken++;
      if (risk > 0) certified++;
      if (run > 0) continue;
      const shuffled = records.documents.map((document) => [rng.uniform(), document] as const);
      for (const documents of [
        records.documents.toReversed(),
        shuffled.sort(([a], [b]) => a - b).map(([, one]) => one),
      ]) {
        expect((await calibrateRecords({ ...records, documents }, options)).certificate.digest).toBe(
          certificate.digest,
        );
      }
      expect(await verdictOf(certificate, { records })).toBe("reproduced");
    }
    const procedure = "copies once, and as given";
    expectKept(rowOf(where, runs, broken / runs, procedure));
    expectAtLeast({ ...rowOf(where, runs, certified / runs, procedure), law: "power", limit: 0.85 });
  });
});
