/** README.md beside the heads of a pretrained model, and beside the certificates for each dtype. */
import type { ExitQuality } from "early-exits/exits";
import type { HeadShape } from "../../src/exits/heads/head-shape.js";
import { percent } from "../report/format.js";
import { prose } from "../report/prose.js";
import type { ShippedLevel } from "../ship/card.js";
import type { CurvePoint, DepthStart } from "./train-maps.js";

/** Summary of the certificates for one dtype. */
interface CertifiedFacts {
  readonly levels: readonly ShippedLevel[];
  /** The same levels, or some of them, with the fill "project". */
  readonly projected: readonly ShippedLevel[];
  readonly numLayers: number;
  readonly population: string;
  readonly calibrationAnswers: number;
  readonly heldAnswers: number;
}

interface PretrainedFacts extends Pick<CertifiedFacts, "numLayers"> {
  readonly shapes: readonly { readonly depth: number; readonly shape: HeadShape }[];
  /** Tokens of the model's own answers that taught the maps. */
  readonly trainingTokens: number;
  /** Positions to which previews, keys and values were fitted. */
  readonly fittedPositions: number;
  readonly starts: readonly DepthStart[];
  readonly log: readonly CurvePoint[];
}

export function pretrainedCard(facts: PretrainedFacts): string {
  const { trainingTokens, fittedPositions, log } = facts;
  return [
    "# Exits for SmolLM2-135M-Instruct",
    prose`Heads and certificates for SmolLM2-135M-Instruct (HuggingFaceTB, Apache-2.0), which is not here: read it by
      its name or from a file. They are for the dequantised weights of its Q4_1 GGUF file, found by their hash, and for
      int8. The model is frozen; it was not made for exits.`,
    prose`In packages, they are \`early-exits-smollm2\`, which \`early-exits\` of the same version finds beside itself
      or in the project: \`npx early-exits chat SmolLM2-135M-Instruct.Q4_1.gguf --shipped .95\`.`,
    [
      prose`**Heads.** ${headsLine(facts)} The last exit is the unembedding's preview: it skips no block, but the
        unembedding. The maps were taught by ${trainingTokens} tokens of the model's own answers in int8, greedy and
        sampled, from which the list of frequent tokens was counted; previews, and keys and values, are fitted to
        ${fittedPositions} positions of greedy ones.`,
      prose`**Look-ahead head.** Beside them, a head for lossless decoding guesses the token after next; it was taught
        by 1479884 tokens of the model's answers (\`bench/reports/ahead-zen-5.md\` of early-exits).`,
      prose`**Certificates** in \`certificates/\`, with a table of what they promise; folders of other dtypes hold
        certificates of the same heads for the model stored so.`,
    ]
      .map((line) => `- ${line}`)
      .join("\n"),
    prose`Agreement of heads before any training (whole vocabulary, on the same answers held out): the model's own norm
      and unembedding at a depth, and the same after a linear map in closed form. May leave: the share of positions, the
      surest first, such that no more than 1 - a of all differ.`,
    startsTable(facts.starts),
    "Agreement of the maps (whole vocabulary, on answers held out) while they were trained; step 0 is the closed form:",
    curveTable(
      log,
      facts.shapes.map(({ depth }) => depth),
    ),
    "Made by `npm run pretrained`. The heads are under this repository's licence.\n",
  ].join("\n\n");
}

/** The card beside the certificates for a dtype. */
export function certificatesCard(dtype: string, facts: CertifiedFacts): string {
  const { levels, projected, numLayers, population, calibrationAnswers, heldAnswers } = facts;
  return [
    `# Certificates with the model in ${dtype}`,
    prose`Overall agreement per answer, from the model's own greedy answers in ${dtype} to ${calibrationAnswers}
      prompts, each used once; none taught the heads. Certified on: ${population}. The tables were measured on
      ${heldAnswers} answers to other prompts. With the fill \`lazy\`, which is exact:`,
    levelTable(levels, numLayers),
    ...(projected.length > 0
      ? [
          prose`With learned keys and values (fill \`project\`): blocks that a token skipped never run, which changes
            other tokens, so candidates were run; fewer tokens may leave, and each saves more. The command line takes
            the certificate whose policy is faster on the machine that it runs on; because of that choice, each of the
            two at a level is certified at half of delta, .025.`,
          levelTable(projected, numLayers),
        ]
      : []),
    "Made by `npm run pretrained`.\n",
  ].join("\n\n");
}

function headsLine({ shapes, numLayers }: PretrainedFacts): string {
  return shapes
    .map(({ depth, shape: { kind, preview } }) => {
      const ranked = preview?.tokens === undefined ? "" : ` of ${preview.tokens.length} frequent tokens`;
      const size = preview === undefined ? "" : `${ranked} (rank ${preview.rank}, ${preview.candidates} rows)`;
      return depth === numLayers
        ? `After block ${depth}: a preview${size}.`
        : `After block ${depth}: ${kind} + preview${size}.`;
    })
    .join(" ");
}

function levelTable(levels: readonly ShippedLevel[], numLayers: number): string {
  const columns = [
    "certified",
    "score",
    `mean depth of ${numLayers}`,
    "agreement, mean over answers",
    "tokens without unembedding",
  ];
  return [
    `| ${columns.join(" | ")} |`,
    `| ${columns.map((_, i) => (i === 1 ? "---" : "---:")).join(" | ")} |`,
    ...levels.map(({ agreement, certificate, test }) => {
      const cells = [
        percent(agreement),
        certificate.policy.score,
        test.meanDepth.toFixed(2),
        percent(test.documentAgreement),
        percent(test.coverage),
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ].join("\n");
}

function startsTable(starts: readonly DepthStart[]): string {
  const levels = "may leave at .99 / .95 / .90 / .80";
  const cells = ({ agreement, levels: shares }: ExitQuality): string =>
    `${percent(agreement)} | ${shares.map(({ coverage }) => percent(coverage, 0)).join(" / ")}`;
  return [
    `| depth | untouched | ${levels} | closed form | ${levels} |`,
    "| ---: | ---: | ---: | ---: | ---: |",
    ...starts.map(({ lens, fitted }) => `| ${lens.depth} | ${cells(lens)} | ${cells(fitted)} |`),
  ].join("\n");
}

/** The maps of these heads; others may have been trained beside them. */
function curveTable(log: readonly CurvePoint[], used: readonly number[]): string {
  const depths = (log[0]?.exits ?? []).map(({ depth }) => depth).filter((depth) => used.includes(depth));
  return [
    `| step | ${depths.map((depth) => `depth ${depth} | may leave at .99 / .95 / .90 / .80`).join(" | ")} |`,
    `| ---: | ${depths.map(() => "---: | ---:").join(" | ")} |`,
    ...log.map(({ step, exits }) => {
      const cells = exits
        .filter(({ depth }) => depths.includes(depth))
        .map(
          ({ agreement, levels }) =>
            `${percent(agreement)} | ${levels.map(({ coverage }) => percent(coverage, 0)).join(" / ")}`,
        );
      return `| ${step} | ${cells.join(" | ")} |`;
    }),
  ].join("\n");
}
