/** Words of the demo: functions from a section's data to lines. */
import { exactFill, type Model, type Policy } from "early-exits";
import type { SpeedRatio, WayResult } from "early-exits/evaluate";
import { blockCost, headCost } from "early-exits/exits";
import { libraryDefaults } from "early-exits/node";
import { NO_GUARANTEE, outcomeTable, promiseLines } from "../calibration-lines.js";
import { type DepthColors, depthColors, depthHistogram } from "../depth-colors.js";
import { count, duration, percent, speed, table } from "../format.js";
import { colorsOf, type Io } from "../io.js";
import type { Demo, DemoText } from "./demo.js";
import type { HeadsSection } from "./heads-section.js";
import type { ModelSection, SpeedSection, TextsSection } from "./texts-section.js";
import type { ThresholdsSection } from "./thresholds-section.js";

export function modelHeading({ name, model: { config, device }, io }: Demo): string[] {
  const { numLayers, hiddenSize, vocabSize } = config;
  return [
    colorsOf(io).bold(
      `1. The model: ${name}, ${numLayers} blocks, hidden size ${hiddenSize}, ${vocabSize} tokens, on device ` +
        device.backend,
    ),
  ];
}

export function modelLines({ title, plain }: ModelSection, { io }: Demo): string[] {
  return [`It continues a speech that it has never seen (${title}):`, "", painted(plain, io), ""];
}

export function headsHeading({ model, io }: Demo, depths: readonly number[]): string[] {
  const { multiplyAdds, blocks } = costOfHead(model);
  return [
    colorsOf(io).bold(`2. Heads after blocks ${depths.join(" and ")}, trained to predict the full model's tokens`),
    `A head costs ${count(multiplyAdds)} multiply-adds per token, as much as ${blocks.toFixed(2)} blocks. The model ` +
      "stays frozen.",
  ];
}

export function headsLines(section: HeadsSection, depths: readonly number[]): string[] {
  const { training, heldOut, before, after, longer } = section;
  return [
    `${training.steps} steps on ${count(training.tokens)} tokens in ${duration(training.seconds)} ` +
      `(${speed(training.tokensPerSecond)}). Agreement with the full model on ${heldOut} test documents; an ` +
      "untrained head is the model's own final norm and unembedding:",
    ...table([
      ["", "untrained", "trained", ...(longer ? ["trained longer"] : [])],
      ...depths.map((depth, i) => [
        `depth ${depth}`,
        percent(before[i]),
        percent(after[i]),
        ...(longer ? [percent(longer[i])] : []),
      ]),
    ]),
    ...(longer === undefined
      ? []
      : ["From here on, the demo uses the heads that come with the model, trained in the same way for longer."]),
    "",
  ];
}

export function thresholdsHeading({ agreement, delta, io }: Demo): string[] {
  return [
    colorsOf(io).bold(
      `3. Thresholds that keep ${percent(agreement, 0)} agreement with probability ${percent(1 - delta, 0)}, ` +
        "tried on test speeches",
    ),
  ];
}

export function thresholdsLines(section: ThresholdsSection): string[] {
  const { outcome, used, numLayers } = section;
  return [
    ...hereLines(section),
    ...broughtLines(section),
    `On ${outcome.positions} tokens of ${outcome.documents} test documents, which neither the model nor the heads ` +
      "nor the calibration has seen:",
    ...outcomeTable(
      outcome,
      used.policy.exits.map(({ threshold }) => threshold),
      used.policy.score,
    ),
    `All tokens: agreement ${percent(outcome.agreement)} (mean over documents ` +
      `${percent(outcome.documentAgreement)}), mean depth ${outcome.meanDepth.toFixed(2)} of ${numLayers} blocks.`,
    "",
  ];
}

function hereLines({ here, brought, calibrationDocuments }: ThresholdsSection): string[] {
  if (here.certificate !== undefined) return [...promiseLines(here.certificate), verdictOf(here.valid)];
  const nothing = `Nothing could be certified at this level on ${calibrationDocuments} documents`;
  if (brought !== undefined) return [`${nothing}.`];
  return [`${nothing}; the demo goes on with the paper's thresholds. ${NO_GUARANTEE}`];
}

function broughtLines({ brought }: ThresholdsSection): string[] {
  if (brought === undefined) return [];
  return [
    "",
    `The certificate that comes with the model rests on ${brought.certificate.documents.length} documents, so its ` +
      "policy can exit more often; the demo uses it from here on:",
    ...promiseLines(brought.certificate),
    verdictOf(brought.valid),
    "",
  ];
}

export function verdictOf(valid: boolean): string {
  return `Recomputed by an independent verifier: ${valid ? "it holds" : "REFUTED"}.`;
}

export function textsHeading({ io }: Demo): string[] {
  return [colorsOf(io).bold("4. Generating with exits, and losslessly")];
}

export function textsLines(
  { exits, lossless, identical }: TextsSection,
  { io, model }: Demo,
  depths: readonly number[],
): string[] {
  const colors = depthColors(io, depths, model.config.numLayers);
  const { tokensPerRound, acceptanceRate } = lossless.summary;
  return [
    `${io.color ? `Colours: ${colors.legend}. ` : ""}Keys and values of skipped blocks: ` +
      `${FILL_WORDS[exactFill(model.config)]}.` +
      (exits.summary.promise.kind === "certified" ? "" : " This text is sampled; the certificate is for greedy text."),
    "",
    painted(exits, io, colors),
    "",
    ...depthHistogram(exits.summary.depthCounts, colors),
    "",
    "Lossless: exits and repetitions draft, the full model verifies. The greedy text " +
      `${identical ? "equals the plain model's, token for token" : "DIFFERS FROM THE PLAIN MODEL'S"}; ` +
      `${tokensPerRound.toFixed(2)} tokens per round, ${percent(acceptanceRate, 0)} of the drafts accepted:`,
    "",
    painted(lossless, io, colors),
    "",
  ];
}

const FILL_WORDS = {
  shared: "the upper blocks share those of one block, which every token computes",
  lazy: "computed later, when a deeper token needs them",
} as const;

export function speedLines({ runs, tokens, results }: SpeedSection, { io }: Demo): string[] {
  return [
    colorsOf(io).bold(
      `5. Speed: medians of ${runs} interleaved greedy runs of ${tokens} tokens for each way, on test prompts`,
    ),
    ...table([
      [
        "",
        "tokens/s",
        "ratio (quartiles)",
        "depth",
        "blocks/token",
        "multiply-adds/token",
        "weights read/token",
        "agreement",
      ],
      ...results.map((way, i) => [
        way.name,
        way.tokensPerSecond.toFixed(0),
        i === 0 ? "1" : ratioOf(way.ratio),
        way.meanDepth.toFixed(2),
        way.blocks.toFixed(2),
        count(way.multiplyAdds),
        `${count(way.weightBytes)}B`,
        way.identical ? "identical" : percent(way.agreement),
      ]),
    ]),
    "",
  ];
}

export function ratioOf({ median, low, high }: SpeedRatio): string {
  return `${median.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

export function conclusionLines({ results }: SpeedSection, { exits }: Policy, { model }: Demo): string[] {
  const tried = exits.filter(({ threshold }) => threshold !== "never").length;
  return [
    ...results.slice(1).map((way) => {
      const unchanged = way.name === "lossless" ? "; the tokens are the same" : "";
      return `${capitalized(way.name)}: ${comparison(way)}${unchanged}.`;
    }),
    `A token that takes no exit costs the ${tried} heads it tried, ${costOfHead(model).blocks.toFixed(2)} blocks ` +
      "each. Blocks per token include those that ran later to fill keys and values, and those of rejected drafts.",
    "Exits make this model cheaper; a smaller model, trained as such, may be as good and as fast.",
    "",
  ];
}

function comparison({ ratio: { median, low, high } }: WayResult): string {
  const times = `${median.toFixed(2)} times the speed of plain decoding`;
  if (low > 1) return `faster, ${times}`;
  if (high < 1) return `slower, ${times}`;
  return `neither faster nor slower within the spread of these runs, ${times}`;
}

export function timeLine(seconds: number, io: Io): string[] {
  return [colorsOf(io).dim(`${duration(seconds)} in all.`)];
}

function painted({ prompt, pieces }: DemoText, io: Io, colors?: DepthColors): string {
  const text = pieces.map((piece) =>
    colors === undefined || piece.text === "" ? piece.text : colors.paint(piece.text, piece.depth),
  );
  return `${colorsOf(io).dim(prompt)}${text.join("")}`;
}

function costOfHead({ config }: Model) {
  const multiplyAdds = headCost(config, { kind: "dense" });
  const context = Math.min(libraryDefaults.plan.context, config.maxPositionEmbeddings);
  return { multiplyAdds, blocks: multiplyAdds / blockCost(config, context) };
}

function capitalized(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
