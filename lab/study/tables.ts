/** The study's tables of backbones. */
import { mean } from "d3-array";
import type { WayResult } from "early-exits/evaluate";
import type { PretrainReport } from "../../src/cli/index.js";
import type { Table } from "../report/index.js";
import type { Timing } from "../speed/index.js";
import { DELTA, LEVELS, STEPS, type StudiedBackbone } from "./backbone.js";
import { type BackboneLosses, comparedLoss } from "./losses.js";
import { type BackboneSpeeds, NEW_TOKENS, RUNS } from "./speeds.js";

/** All that the study knows of a backbone. */
export interface Studied extends StudiedBackbone {
  readonly name: string;
  readonly training: PretrainReport;
  readonly losses: BackboneLosses;
  readonly speeds: BackboneSpeeds;
  /** Tokens per second of plain decoding. */
  readonly plain: Timing;
}

export const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const times = ({ ratio: { median, low, high } }: WayResult): string =>
  `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;

function difference(losses: BackboneLosses, first: BackboneLosses): string {
  const { share, error } = comparedLoss(losses, first);
  return `${share < 0 ? "-" : "+"}${(100 * Math.abs(share)).toFixed(2)} % ± ${(100 * error).toFixed(2)}`;
}

/** Losses and heads; and how the models compare when nothing exits. */
export function backboneTable(studied: readonly Studied[]): Table {
  const [first] = studied;
  return {
    title: "Backbones",
    note:
      `Trained by \`npm run pretrain\` on the same speeches, tokens and schedule. Losses in nats per token, over ` +
      `all of the validation and test speeches (${first!.losses.validation.length} windows of 256 tokens of the ` +
      `former; the difference to ${first!.name} with its standard error over windows); training loss as the ` +
      `training reported it. Dense int8 heads after a quarter, half and three quarters of the blocks, ${STEPS} ` +
      `steps; agreement on test segments. Plain decoding: greedy, one thread, float32, medians of ${RUNS} runs ` +
      `of ${NEW_TOKENS} tokens, the models in turn. The plain model of half the blocks is what exits compete ` +
      "with: its speed promises nothing about the large model's words, but costs nothing besides.",
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
      `against ${first!.name}`,
      "test loss",
      "exits after",
      "head agreement",
      "plain tokens/s",
      `against ${first!.name}`,
    ],
    rows: studied.map(
      ({
        name,
        depths,
        agreement,
        plain,
        losses,
        training: { options, parameters, tokensSeen, trainingTokens, loss },
      }) => [
        name,
        options.recipe,
        options.layers,
        options.kvShared,
        options.seed,
        parameters / 1e6,
        tokensSeen / trainingTokens,
        loss.train.toFixed(3),
        mean(losses.validation)!.toFixed(3),
        losses === first!.losses ? "" : difference(losses, first!.losses),
        losses.test.toFixed(3),
        depths.join(", "),
        agreement.map(percent).join(", "),
        plain.median,
        plain.median / first!.plain.median,
      ],
    ),
  };
}

/** What exits do at one level. */
export function levelTable(studied: readonly Studied[], level: number): Table {
  const agreement = LEVELS[level]!;
  return {
    title: `Exits at certified agreement ${agreement}`,
    note:
      `Overall agreement per document, delta ${DELTA}, certified end to end on ${studied[0]!.documents} ` +
      "calibration segments; keys and values of skipped blocks shared where the model shares them, or else " +
      `propagated. Leaving, depth and agreement on test segments; the rest on ${RUNS} greedy runs ` +
      `of ${NEW_TOKENS} tokens after test prompts. Speed-up over the same model's plain decoding, one thread, ` +
      "float32: ratio of medians, quartiles of the ratios run by run; the last column sets it " +
      `against ${studied[0]!.name}'s plain decoding.`,
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
      `against ${studied[0]!.name}, plain`,
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
        times(way),
        way.ratio.median * (speed.median / studied[0]!.plain.median),
      ];
    }),
  };
}

export function losslessTable(studied: readonly Studied[]): Table {
  return {
    title: "Lossless decoding",
    note:
      "Drafting tuned for time on calibration prompts, judged on test prompts; the outputs were compared with " +
      "plain decoding's.",
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
      times(lossless),
      lossless.identical ? "identical" : "NOT IDENTICAL",
    ]),
  };
}
