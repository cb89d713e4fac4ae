/**
 * What calibration is about: which model and heads, stored and run how, and what a token costs that leaves at each
 * exit. Recorded once, bound into policies and certificates.
 */
import { OptionError } from "../../errors.js";
import { fillCost, type FillName, fillNames } from "../../exits/fill/index.js";
import { type ExitHeads, logitScores, type ScoreName, scoreNames } from "../../exits/heads/index.js";
import { blockCost, costOfRows, QUOTED_CONTEXT, type UnitTimes } from "../../exits/cost/index.js";
import type { WeightDtype } from "../../tensor/index.js";
import type { ExitCosts } from "../procedures/index.js";

export interface Subject {
  readonly modelHash: string;
  readonly headsHash: string;
  /** How weight matrices are stored. */
  readonly dtype: WeightDtype;
  /** What computed: scores may differ in their last bits elsewhere. */
  readonly backend: string;
  readonly depths: readonly number[];
  readonly numLayers: number;
  /** Multiply-adds per token. */
  readonly ledger: {
    readonly block: number;
    readonly heads: readonly number[];
    /** Each head's gate; absent unless all have one. */
    readonly gates?: readonly number[];
    /** The model's own. */
    readonly unembedding: number;
    /** By fill and exit: the keys and values made at once for a token that leaves. */
    readonly fills: Readonly<Partial<Record<FillName, readonly number[]>>>;
  };
}

/** The subject of a calibration of these heads, as they are now. */
export async function describeSubject(heads: ExitHeads): Promise<Subject> {
  const { config, dtype, device } = heads.model;
  const block = blockCost(config, Math.min(QUOTED_CONTEXT, config.maxPositionEmbeddings));
  return {
    modelHash: await heads.model.hash(),
    headsHash: await heads.hash(),
    dtype,
    backend: device.backend,
    depths: heads.depths,
    numLayers: config.numLayers,
    ledger: {
      block,
      heads: heads.heads.map(({ multiplyAdds }) => multiplyAdds),
      ...(heads.scores.includes("gate") && { gates: heads.heads.map(({ gate }) => gate!.work.multiplyAdds) }),
      unembedding: config.hiddenSize * config.vocabSize,
      fills: Object.fromEntries(
        fillNames.map((fill) => [fill, heads.depths.map((depth) => fillCost(fill, config, depth))]),
      ),
    },
  };
}

/** The scores that there are records of: those of logits, and that of gates where all heads have one. */
export function scoresOf({ ledger }: Pick<Subject, "ledger">): readonly ScoreName[] {
  return ledger.gates === undefined ? logitScores : scoreNames;
}

/** Throws an OptionError unless there are records of the score. */
export function requireScore(subject: Pick<Subject, "ledger">, score: ScoreName): void {
  if (!scoresOf(subject).includes(score)) {
    throw new OptionError(
      "score-gate",
      `calibrate: score ${score} needs heads with gates, which these have not; train some (trainGates, or ` +
        `train --gate), or choose one of ${logitScores.join(", ")}`,
      { score },
    );
  }
}

/**
 * What a token costs by the exit where it leaves, in multiply-adds, or in milliseconds of measured times. With the
 * score `gate` an exit asks its gate, and only a token that leaves pays for the head. Blocks that run later (lazy) are
 * charged to nobody: right for weights read, too kind for multiply-adds.
 */
export function exitCosts(
  { depths, numLayers, ledger }: Pick<Subject, "depths" | "numLayers" | "ledger">,
  {
    fill,
    score,
    times,
  }: { readonly fill: FillName; readonly score: ScoreName; readonly times?: UnitTimes | undefined },
): ExitCosts {
  const [block, full] =
    times === undefined
      ? [ledger.block, ledger.unembedding]
      : [costOfRows(times.block, 1), costOfRows(times.finalHead, 1)];
  const [heads, gates] = times === undefined ? [ledger.heads, ledger.gates] : [times.heads, times.gates];
  const fills = times === undefined ? ledger.fills[fill] : times.fills.map(({ cost }) => cost);
  return {
    reach: depths.map((depth, exit) => depth * block + (fills?.[exit] ?? 0) + (score === "gate" ? heads[exit]! : 0)),
    head: [...(score === "gate" ? gates! : heads)],
    full: numLayers * block + full,
  };
}
