/** The words of the chat demo. */
import { describeAssumption } from "early-exits/calibrate";
import { depthColors, depthHistogram } from "../../depth-colors.js";
import { duration, percent, table } from "../../format.js";
import { colorsOf } from "../../io.js";
import { promiseLines } from "../../lines/calibration-lines.js";
import type { ChatAnswer, ChatDemo, ChatSpeeds } from "./chat-demo.js";

export function openingLines({ io, model, exits, heads, certificate, valid }: ChatDemo): string[] {
  const { config, dtype, device } = model;
  const { numLayers, hiddenSize, vocabSize } = config;
  const { bold } = colorsOf(io);
  return [
    bold(
      `1. The model: ${exits.name}, ${numLayers} blocks, hidden size ${hiddenSize}, ${vocabSize} tokens, in ${dtype} ` +
        `on device ${device.backend}`,
    ),
    `Exits that come with this package, after ${heads.depths.join(" and ")} blocks; the model itself is frozen.`,
    "",
    bold("2. What they promise"),
    ...promiseLines(certificate),
    `Assumed: ${certificate.assumptions.map(describeAssumption).join("; ")}.`,
    `Recomputed by an independent verifier: ${valid ? "it holds" : "REFUTED"}.`,
    "",
  ];
}

export function answerLines(answers: readonly ChatAnswer[], { io, model, heads }: ChatDemo): string[] {
  const { bold, dim } = colorsOf(io);
  const { numLayers } = model.config;
  const colors = depthColors(io, heads.depths, numLayers);
  const counts = Array.from({ length: numLayers + 1 }, (_, depth) =>
    answers.reduce((sum, { summary }) => sum + (summary.depthCounts[depth] ?? 0), 0),
  );
  return [
    bold("3. Answers through exits, judged by the full model"),
    ...(io.color ? [`Colours: ${colors.legend}.`] : []),
    ...answers.flatMap(({ question, pieces, agreement }) => [
      "",
      dim(question),
      pieces.map(({ text, depth }) => (text === "" ? text : colors.paint(text, depth))).join(""),
      dim(`(${percent(agreement)} of its tokens are the full model's after the same text)`),
    ]),
    "",
    ...depthHistogram(counts, colors),
    "",
  ];
}

export function chatSpeedLines({ runs, results }: ChatSpeeds, { io, maxNewTokens }: ChatDemo): string[] {
  return [
    colorsOf(io).bold(
      `4. Speed: medians of ${runs} interleaved greedy answers of at most ${maxNewTokens} tokens for each way`,
    ),
    ...table([
      ["", "tokens/s", "ratio (quartiles)", "depth", "agreement"],
      ...results.map(({ name, tokensPerSecond, ratio, meanDepth, identical, agreement }, i) => [
        name,
        tokensPerSecond.toFixed(0),
        i === 0 ? "1" : `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)} to ${ratio.high.toFixed(2)})`,
        meanDepth.toFixed(2),
        identical ? "identical" : percent(agreement),
      ]),
    ]),
    "",
  ];
}

export function chatTimeLine(seconds: number, { io }: ChatDemo): string[] {
  return [colorsOf(io).dim(`${duration(seconds)} in all.`)];
}
