/**
 * The subject of a calibration: model, heads, stored dtype, device, and the cost of a token by exit. Recorded once, and
 * bound into policies and certificates.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError } from "../../errors.js";
import { fillCost, type FillName, fillNames } from "../../exits/fill/fill.js";
import type { ExitHeads } from "../../exits/heads/exit-heads.js";
import { type ScoreName, scoreNames } from "../../exits/heads/score.js";
import { blockCost, costOfRows, QUOTED_CONTEXT } from "../../exits/cost/unit-costs.js";
import type { UnitTimes } from "../../exits/cost/unit-times.js";
import type { CertifiedLoss, CertifiedSampling, Reference } from "../../exits/plan/policy.js";
import { canonicalSampling } from "../../model/decode/sampling.js";
import type { StoredAs } from "../../model/index.js";
import { createJudge, lossScaleOf } from "./judge.js";
import type { ExitCosts } from "../procedures/tally.js";

export interface Subject {
  readonly modelHash: string;
  readonly headsHash: string;
  /** Dtype of the weight matrices, and of the KV cache unless that is float32. */
  readonly dtype: StoredAs;
  /** The backend; on others, last bits of scores may differ. */
  readonly backend: string;
  readonly kernelBuild?: string;
  readonly depths: readonly number[];
  readonly numLayers: number;
  /** Scores of the heads; absent if all. */
  readonly scores?: readonly ScoreName[];
  /** Sampling settings of the policy and of the reference. @default greedy */
  readonly sampling?: CertifiedSampling;
  readonly reference?: Reference;
  /** The heads know which text taught them. */
  readonly trainingKnown?: true;
  /** Multiply-adds per token. */
  readonly ledger: {
    readonly block: number;
    readonly heads: readonly number[];
    /** The full model's output layer. */
    readonly unembedding: number;
    /** By fill and exit: computing the keys and values that a token lacks when it leaves. */
    readonly fills: Readonly<Partial<Record<FillName, readonly number[]>>>;
  };
}

export async function describeSubject(
  heads: ExitHeads,
  judge = createJudge(heads.model, {}),
  signal?: CancelSignal,
): Promise<Subject> {
  const { config, storedAs, device } = heads.model;
  const { reference, other } = judge;
  const block = blockCost(config, Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings));
  return {
    modelHash: await heads.model.hash(signal),
    headsHash: await heads.hash(),
    dtype: storedAs,
    backend: device.backend,
    ...(device.info.kernelBuild !== undefined && { kernelBuild: device.info.kernelBuild }),
    depths: heads.depths,
    numLayers: config.numLayers,
    ...(scoreNames.some((score) => !heads.scores.includes(score)) && { scores: heads.scores }),
    sampling: judge.sampling,
    reference: { kind: other ? "other" : "same", dtype: reference.storedAs, checkpoint: await reference.hash() },
    ...(heads.taught !== undefined && { trainingKnown: true }),
    ledger: {
      block,
      heads: heads.heads.map(({ work }) => work.multiplyAdds),
      unembedding: config.hiddenSize * config.vocabSize,
      fills: Object.fromEntries(
        fillNames.map((fill) => [fill, heads.depths.map((depth) => fillCost(fill, config, depth))]),
      ),
    },
  };
}

/** The sampling settings, the reference and the count of a token that certainly differs. */
export function judgedBy({ modelHash, dtype, sampling, reference }: Subject): {
  readonly sampling: CertifiedSampling;
  readonly reference: Reference;
  readonly lossScale: number;
} {
  const settings = canonicalSampling(sampling);
  return {
    sampling: settings,
    reference: reference ?? { kind: "same", dtype, checkpoint: modelHash },
    lossScale: lossScaleOf(settings),
  };
}

/** Throws an OptionError for any change in sampled text. */
export function lossOf(subject: Subject, asked: Exclude<CertifiedLoss, "totalVariation">): CertifiedLoss {
  const sampled = judgedBy(subject).lossScale !== 1;
  if (asked === "token") return sampled ? "totalVariation" : "token";
  if (!sampled || asked !== "anyChange") return asked;
  throw new OptionError(
    "option-conflict",
    'calibrate: loss "anyChange" counts documents with a changed token; sampled tokens change in part, so use "token"',
    { loss: asked },
  );
}

/** All of a subject that a stored finding is a function of. */
export function madeOf(subject: Subject): unknown[] {
  const { modelHash, headsHash, dtype, backend, kernelBuild } = subject;
  const { sampling, reference } = judgedBy(subject);
  return [modelHash, headsHash, dtype, backend, kernelBuild ?? null, sampling, reference];
}

export function scoresOf({ scores }: Subject): readonly ScoreName[] {
  return scores ?? scoreNames;
}

/** Throws an OptionError if the score is not recorded. */
export function requireScore(subject: Subject, score: ScoreName): void {
  if (!scoresOf(subject).includes(score)) {
    throw new OptionError(
      "score-missing",
      `calibrate: these heads do not have the score "${score}"; choose one of ${scoresOf(subject).join(", ")}`,
      { score },
    );
  }
}

type Blocks = Pick<Subject, "depths" | "numLayers">;

interface PartCosts {
  readonly block: number;
  readonly unembedding: number;
  readonly heads: readonly number[];
  readonly fills?: readonly number[] | undefined;
}

/**
 * The cost of a token by exit, in multiply-adds or measured milliseconds (`timedCosts`). Blocks that run later, in the
 * batch of a deeper token (fill `lazy`), take the measured time of a further row; in multiply-adds they are not
 * counted, which is right for weights read.
 */
function exitCosts({ depths, numLayers }: Blocks, { block, unembedding, heads, fills }: PartCosts): ExitCosts {
  return {
    reach: depths.map((depth, exit) => depth * block + (fills?.[exit] ?? 0)),
    head: [...heads],
    full: numLayers * block + unembedding,
  };
}

/** Multiply-adds, or times if they were measured. */
export function subjectCosts(subject: Subject, fill: FillName, times?: UnitTimes): ExitCosts {
  if (times !== undefined) return timedCosts(subject, fill, times);
  return exitCosts(subject, { ...subject.ledger, fills: subject.ledger.fills[fill] });
}

/** Rows over which a further one's time is averaged: tokens that leave between two that do not. */
const LAZY_ROWS = 4;

/** Costs of a token by exit, in measured milliseconds. */
export function timedCosts(blocks: Blocks, fill: FillName, { block, finalHead, heads, fills }: UnitTimes): ExitCosts {
  const { depths, numLayers } = blocks;
  const furtherRow = (costOfRows(block, LAZY_ROWS) - costOfRows(block, 1)) / (LAZY_ROWS - 1);
  return exitCosts(blocks, {
    block: costOfRows(block, 1),
    unembedding: costOfRows(finalHead, 1),
    heads,
    fills: fills.map(({ cost }, exit) => (fill === "lazy" ? (numLayers - depths[exit]!) * furtherRow : cost)),
  });
}
