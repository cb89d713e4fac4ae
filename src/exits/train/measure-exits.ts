/**
 * The quality of heads on held-out positions, without a certificate, for training. Per exit
 *   agreement   share of positions at which the head's token is the full model's
 *   coverage    the largest share of positions, the surest first, that may leave there such that at most 1 - a of all
 *               positions differ from the full model, for each level a
 *   speedup     of decoding with this exit alone at that coverage, by unit costs (plan/break-even.ts): the keys and
 *               values of skipped blocks are paid for, what they change is not
 * A policy has to be certified (calibrate); its coverage is lower, by the slack of the certificate and the drift of the
 * fill.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError } from "../../errors.js";
import { requireKnown, requireOneOf } from "../../known.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { countedCosts, type UnitCosts } from "../cost/unit-costs.js";
import { fillCost } from "../fill/fill.js";
import { confidenceAt, orientScore, readStats, type ScoreName, scoreOf } from "../heads/score.js";
import type { ExitHead } from "../heads/exit-head.js";
import { type ExitHeads, requireHeads } from "../heads/exit-heads.js";
import { lossyCost, plainCost, type PlanCosts } from "../plan/break-even.js";
import { type BatchSource, disposeBatch, statesAt } from "../states/batches.js";
import { byParts } from "../states/by-parts.js";
import { outcomeOf } from "../states/record-states.js";
import { giveTurn } from "../../turns.js";

/** Levels shown. */
const measuredLevels = [0.99, 0.95, 0.9, 0.8] as const;

export interface ExitQuality {
  readonly depth: number;
  readonly positions: number;
  readonly agreement: number;
  readonly levels: readonly LevelQuality[];
}

/** At a level of agreement over all positions. */
interface LevelQuality {
  readonly level: number;
  /** Share of all positions that may leave. */
  readonly coverage: number;
  /** Speed-up of decoding with this exit alone. */
  readonly speedup: number;
}

export interface MeasureOptions {
  /** Orders the positions, the surest first. @default "margin" */
  readonly score?: ScoreName;
  /** @default counted in multiply-adds */
  readonly costs?: UnitCosts;
  readonly signal?: CancelSignal | undefined;
}

/** Logits over a list of tokens and, last, all others. */
interface ListedLogits {
  readonly ids: readonly number[];
  /** The head's inputs [R, C] -> [R, n + 1]; undefined for a head that is not trained on the list. */
  logits(head: ExitHead, states: Tensor): Tensor | undefined;
}

/** Measures on one epoch of a source that counts its batches (`cachedBatches`, `streamedBatches`). */
export async function measureExits(
  heads: ExitHeads,
  held: BatchSource,
  options: MeasureOptions & { readonly list?: ListedLogits } = {},
): Promise<ExitQuality[]> {
  requireHeads("measureExits", heads);
  requireKnown("measureExits", options, ["score", "costs", "signal", "list"]);
  const { score = "margin", costs, signal, list } = options;
  requireOneOf("measureExits: of these heads, score", score, heads.scores);
  const { model } = heads;
  const { batchesPerEpoch } = held;
  if (batchesPerEpoch === undefined) {
    throw new OptionError(
      "held-endless",
      "measureExits: the held-out data does not say how many batches it has; use cachedBatches or streamedBatches",
    );
  }
  const found = heads.heads.map(() => ({ scores: [] as number[], agrees: [] as number[] }));
  for (let step = 0; step < batchesPerEpoch; step++) {
    await giveTurn(signal);
    const batch = await held.batch(step, signal);
    try {
      const { argmax } = batch.outcome ?? (await outcomeOf(model, batch.final, { signal }));
      for (const [exit, head] of heads.heads.entries()) {
        const parts = { multiplyAdds: model.config.vocabSize * model.config.hiddenSize, signal };
        await byParts(statesAt(batch, head, "measureExits"), parts, async (states, begin) => {
          const { stats, ids } = await statsOf(head, states, list);
          argmax.subarray(begin, begin + states.shape[0]!).forEach((target, r) => {
            const confidence = confidenceAt(stats, r);
            const token = ids === undefined ? confidence.argmax : (ids[confidence.argmax] ?? -1);
            found[exit]!.agrees.push(Number(token === target));
            // The rest is no token: a sure rest is an unsure head.
            const sign = token < 0 ? -1 : 1;
            found[exit]!.scores.push(sign * orientScore(scoreOf(confidence, score), score));
          });
        });
      }
    } finally {
      disposeBatch(batch);
    }
  }
  const { numLayers } = model.config;
  const fills = heads.depths.map((depth) => fillCost("project", model.config, depth));
  const planned = { ...(costs ?? countedCosts(heads)), numLayers, depths: heads.depths, fills };
  return found.map(({ scores, agrees }, exit): ExitQuality => ({
    depth: heads.depths[exit]!,
    positions: agrees.length,
    agreement: agrees.reduce((sum, one) => sum + one, 0) / agrees.length,
    levels: coverageAt(scores, agrees, measuredLevels).map((coverage, i) => ({
      level: measuredLevels[i]!,
      coverage,
      speedup: speedupAt(planned, exit, coverage),
    })),
  }));
}

/**
 * Per level a, the largest share of positions, highest scores first, of which at most 1 - a of all positions disagree.
 * Equal scores leave together.
 */
export function coverageAt(scores: ArrayLike<number>, agrees: ArrayLike<number>, levels: readonly number[]): number[] {
  const count = scores.length;
  const order = [...Array(count).keys()].sort((a, b) => scores[b]! - scores[a]!);
  const best = levels.map(() => 0);
  let wrong = 0;
  order.forEach((position, i) => {
    wrong += 1 - agrees[position]!;
    const next = order[i + 1];
    if (next !== undefined && scores[next] === scores[position]) return;
    levels.forEach((level, l) => {
      if (wrong <= (1 - level) * count * (1 + 1e-12)) best[l] = (i + 1) / count;
    });
  });
  return best;
}

/** If the share `coverage` of all tokens leaves at one exit, and no other is evaluated. */
function speedupAt(costs: PlanCosts, exit: number, coverage: number): number {
  const alone = {
    ...costs,
    depths: [costs.depths[exit]!],
    heads: [costs.heads[exit]!],
    fills: [costs.fills[exit]!],
  };
  return plainCost(costs) / lossyCost(alone, [coverage]);
}

async function statsOf(
  head: ExitHead,
  states: Tensor,
  list: ListedLogits | undefined,
): Promise<{ readonly stats: Float32Array; readonly ids: readonly number[] | undefined }> {
  const listed = scope(() => list?.logits(head, states));
  const logits = listed ?? (await head.logits(states));
  const stats = await (listed ? readStats(listed) : head.stats(logits));
  logits.dispose();
  return { stats, ids: listed && list!.ids };
}
