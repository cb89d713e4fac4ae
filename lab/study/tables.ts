/** The study's tables of backbones; the paragraphs above them are in notes.ts. */
import { mean } from "d3-array";
import type { PretrainReport } from "../ship/pretrain-folder.js";
import { percent, withRange } from "../report/format.js";
import type { Table } from "../report/report.js";
import type { Timing } from "../speed/timing.js";
import { DELTA, LEVELS, STEPS, type StudiedBackbone } from "./backbone.js";
import { type BackboneLosses, comparedLoss } from "./losses.js";
import { backboneNote, levelNote, losslessNote } from "./notes.js";
import { type BackboneSpeeds, NEW_TOKENS, RUNS } from "./speeds.js";

/** Everything that the study measures about a backbone. */
export interface Studied extends StudiedBackbone {
  readonly name: string;
  readonly training: PretrainReport;
  readonly losses: BackboneLosses;
  readonly speeds: BackboneSpeeds;
  /** Tokens per second of plain decoding. */
  readonly plain: Timing;
}

/** Recipes, losses, heads, and speeds without exits. The first backbone is what the others are compared with. */
export function backboneTable(studied: readonly Studied[]): Table {
  const first = studied[0]!;
  return {
    title: "Backbones",
    note: backboneNote({
      first: first.name,
      windows: first.losses.validation.length,
      headSteps: STEPS,
      runs: RUNS,
      tokens: NEW_TOKENS,
    }),
    columns: [
      "model",
      "recipe",
      "blocks",
      "that share K,V",
      "seed",
      "M parameters",
      "epochs",
      "training loss",
      "validation loss",
      `against ${first.name}`,
      "test loss",
      "exits after",
      "head agreement",
      "plain tokens/s",
      `against ${first.name}`,
    ],
    rows: studied.map(({ name, depths, agreement, plain, losses, training }) => [
      name,
      training.options.recipe,
      training.options.layers,
      training.options.kvShared,
      training.options.seed,
      training.parameters / 1e6,
      training.tokensSeen / training.trainingTokens,
      training.loss.train.toFixed(3),
      mean(losses.validation)!.toFixed(3),
      losses === first.losses ? "" : difference(losses, first.losses),
      losses.test.toFixed(3),
      depths.join(", "),
      agreement.map((share) => percent(share)).join(", "),
      plain.median,
      plain.median / first.plain.median,
    ]),
  };
}

/** The effect of exits at one certified level. */
export function levelTable(studied: readonly Studied[], level: number): Table {
  const first = studied[0]!;
  return {
    title: `Exits at certified agreement ${LEVELS[level]!}`,
    note: levelNote({
      first: first.name,
      delta: DELTA,
      documents: first.documents,
      runs: RUNS,
      tokens: NEW_TOKENS,
    }),
    columns: [
      "model",
      "score",
      "leave early",
      "depth",
      "agreement",
      "blocks/token",
      "M multiply-adds/token",
      "of plain",
      "MB of weights/token",
      "of plain",
      "speed-up",
      `against ${first.name}, plain`,
    ],
    rows: studied.map(({ name, levels, speeds, plain: speed }) => {
      const { policy, test } = levels[level]!;
      const way = speeds.levels[level]!;
      const { plain } = speeds;
      return [
        name,
        policy.score,
        percent(test.coverage),
        test.meanDepth.toFixed(2),
        percent(test.documentAgreement),
        way.blocks,
        way.multiplyAdds / 1e6,
        percent(way.multiplyAdds / plain.multiplyAdds),
        way.weightBytes / 1e6,
        percent(way.weightBytes / plain.weightBytes),
        withRange(way.ratio),
        way.ratio.median * (speed.median / first.plain.median),
      ];
    }),
  };
}

export function losslessTable(studied: readonly Studied[]): Table {
  return {
    title: "Lossless decoding",
    note: losslessNote,
    columns: [
      "model",
      "tokens/round",
      "drafts accepted",
      "blocks/token",
      "MB of weights/token",
      "of plain",
      "speed-up",
      "output",
    ],
    rows: studied.map(({ name, speeds: { lossless, plain } }) => [
      name,
      lossless.tokensPerRound,
      Number.isNaN(lossless.acceptanceRate) ? "nothing drafted" : percent(lossless.acceptanceRate),
      lossless.blocks,
      lossless.weightBytes / 1e6,
      percent(lossless.weightBytes / plain.weightBytes),
      withRange(lossless.ratio),
      lossless.identical ? "identical" : "NOT IDENTICAL",
    ]),
  };
}

function difference(losses: BackboneLosses, first: BackboneLosses): string {
  const { share, error } = comparedLoss(losses, first);
  return `${share < 0 ? "-" : "+"}${percent(Math.abs(share), 2)} ± ${(100 * error).toFixed(2)}`;
}
