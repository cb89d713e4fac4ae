/**
 * Policies whose skipped blocks never run (fill "project"): learned keys and values, and certificates from running
 * candidates. Where a further row is expensive, they are faster than policies with an exact fill, although fewer
 * tokens may leave.
 */
import { type ExitHeads, fitProjections, measureUnitTimes, verifyCertificate } from "early-exits";
import { calibrateRecords, type CalibrationRecords, proposeThresholds, runPolicies } from "early-exits/calibrate";
import { playRuns } from "../../src/calibrate/record/outcome.js";
import type { PolicyRuns, RunCandidates } from "../../src/calibrate/record/policy-runs.js";
import { folderStore } from "early-exits/node";
import { percent } from "../report/format.js";
import type { ShippedLevel } from "../ship/card.js";
import type { Claim } from "../ship/certify-levels.js";
import { type Answer, documentOf } from "./answers.js";
import { CONVERSATION } from "./deploy.js";

/** The levels that allow the most tokens to differ: there `project` loses the least against exact fills. */
const LEVELS = [0.95, 0.9, 0.8] as const;
/** Share of the certified documents that candidate thresholds come from. */
const GRID_SHARE = 0.25;
/** Positions to fit on. */
const FIT_POSITIONS = 65_536;
/** Conversations that run together. */
const TOGETHER = 16;

/** Fits the learned keys and values of the heads to answers. */
export async function fitKeys(heads: ExitHeads, answers: readonly Answer[]): Promise<void> {
  await fitProjections(heads, answers.map(documentOf), {
    positions: FIT_POSITIONS,
    dtype: "bfloat16",
    onBatch: ({ batch, batches }) => {
      if (batch % 10 === 0) console.error(`keys and values: batch ${batch} of ${batches}`);
    },
  });
}

interface ProjectedParts {
  /** Records of the answers that certify. */
  readonly calibration: CalibrationRecords;
  readonly answers: readonly Answer[];
  /** Answers on which policies are judged. */
  readonly judged: readonly Answer[];
  /** Candidates of a level: each runs on all documents. Of six, levels that are halves of each other share three. */
  readonly candidates: number;
  /** A folder for what ran. */
  readonly store: string;
  readonly claim: Pick<Claim, "choices" | "population">;
}

/** A certificate for each level with the fill "project", all from one run of the candidates of all levels. */
export async function certifyProjected(
  heads: ExitHeads,
  { calibration, answers, judged, candidates, store, claim }: ProjectedParts,
): Promise<ShippedLevel[]> {
  const fill = "project";
  const costs = await measureUnitTimes(heads, { fill });
  const unit = answers.some(({ group }) => group !== undefined) ? "group" : "document";
  const settings = { delta: 0.05, ...claim, unit, score: "margin", fill, seed: 1, costs } as const;
  const optionsOf = (agreement: number) => ({ ...settings, agreement, gridShare: GRID_SHARE, candidates }) as const;
  const proposed = await Promise.all(LEVELS.map((level) => proposeThresholds(calibration, optionsOf(level))));
  const runs = await run(heads, answers, union(proposed), store);
  const levels: ShippedLevel[] = [];
  for (const agreement of LEVELS) {
    const { certificate } = await calibrateRecords(calibration, { ...optionsOf(agreement), runs });
    const { verdict, reasons } = await verifyCertificate(certificate, { heads });
    if (verdict === "refuted") throw new Error(`the certificate at ${agreement} is not valid: ${reasons.join("; ")}`);
    const thresholds = certificate.policy.exits.map(({ threshold }) => threshold);
    const used = await run(heads, judged, { score: "margin", fill, thresholds: [thresholds] }, store);
    const test = playRuns(used);
    levels.push({ agreement, certificate, test });
    console.error(`${agreement}, ${fill}: depth ${test.meanDepth.toFixed(2)}, ${percent(test.documentAgreement, 2)}`);
  }
  return levels;
}

function run(
  heads: ExitHeads,
  answers: readonly Answer[],
  candidates: RunCandidates,
  store: string,
): Promise<PolicyRuns> {
  return runPolicies(heads, answers.map(documentOf), candidates, {
    sequenceLength: CONVERSATION,
    batchSize: TOGETHER,
    store: folderStore(store),
    onRun: ({ done, total }) => {
      if (done % (10 * candidates.thresholds.length) === 0) console.error(`runs: ${done} of ${total}`);
    },
  });
}

/** All candidates, each once. */
function union(proposed: readonly RunCandidates[]): RunCandidates {
  const [first] = proposed as [RunCandidates, ...RunCandidates[]];
  const vectors = proposed.flatMap(({ thresholds }) => thresholds);
  const byText = new Map(vectors.map((vector) => [vector.join(), vector]));
  return { ...first, thresholds: [...byText.values()] };
}
