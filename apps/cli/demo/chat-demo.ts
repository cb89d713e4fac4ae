/**
 * The demo on a chat model with exits in the package: answers through certified exits, judged by the full model, then
 * plain decoding, exits and lossless decoding timed in turn. No training: that takes a real model hours.
 */
import { type Model, verifyCertificate } from "early-exits";
import { describeAssumption } from "early-exits/calibrate";
import type { Comparison } from "early-exits/evaluate";
import { recordStates } from "early-exits/exits";
import { answerDocument, encodeChat } from "early-exits/model";
import { promiseLines } from "../calibration-lines.js";
import { timeWays, write, type WrittenText } from "./demo.js";
import { ratioOf, timeLine, verdictOf } from "./words.js";
import { openShipped, type OpenShipped } from "../decoding.js";
import { depthColors, depthHistogram } from "../depth-colors.js";
import { percent, table } from "../format.js";
import { colorsOf, type Io } from "../io.js";
import { commandLine, nextLines } from "../next-lines.js";
import type { ModelSettings } from "../open-model.js";

interface ChatPlan {
  /** Path, or name on the Hub. */
  readonly name: string;
  readonly device: ModelSettings["device"];
  readonly agreement: number;
  readonly maxNewTokens: number;
  readonly runs: number;
}

interface ChatDemo extends ChatPlan, OpenShipped {
  readonly io: Io;
  /** Verdict of the verifier, which shares no code with calibration. */
  readonly valid: boolean;
}

interface ChatAnswer extends WrittenText {
  readonly question: string;
  /** The full model's own answer. */
  readonly plain: string;
  /** For each token, true if the full model would choose another after the same text. */
  readonly differs: readonly boolean[];
}

const SHOWN = 3;

export async function runChatDemo(plan: ChatPlan, json: boolean, io: Io): Promise<void> {
  const started = io.now();
  const say = (lines: readonly string[]): void => {
    if (!json) io.stdout.write(`${lines.join("\n")}\n`);
  };
  const demo = await openChatDemo(plan, io);
  const { heads, model, certificate, valid } = demo;
  say(openingLines(demo));
  const answers: ChatAnswer[] = [];
  for (const question of questions.slice(0, SHOWN)) answers.push(await answer(demo, question));
  say(answerLines(answers, demo));
  const prompts = await Promise.all(questions.map((question) => idsOf(model, question)));
  const { runs, maxNewTokens } = plan;
  const timing = { runs, maxNewTokens, stopAtEndOfText: true };
  const speeds = await timeWays(io, heads, certificate.policy, prompts, timing);
  say(chatSpeedLines(speeds, demo));
  const seconds = (io.now() - started) / 1000;
  say(timeLine(seconds, io));
  say(nextLines(commandLine("chat", [plan.name], { shipped: plan.agreement })));
  if (json) {
    const result = {
      format: "early-exits/chat-demo",
      version: 1,
      model: plan.name,
      device: model.device.backend,
      depths: heads.depths,
      certificate,
      certificateValid: valid,
      answers: answers.map(({ question, summary, plain, differs }) => ({
        question,
        text: summary.text,
        plain,
        agreement: 1 - shareOf(differs),
      })),
      runs: speeds.runs,
      ways: speeds.results,
      seconds,
    };
    io.stdout.write(`${JSON.stringify(result)}\n`);
  }
  heads.dispose();
  model.dispose();
}

/**
 * Opens the model in the dtype of its certificates. Throws a UsageError if the package has no exits for it, or none
 * certified at this level.
 */
async function openChatDemo(plan: ChatPlan, io: Io): Promise<ChatDemo> {
  const opened = await openShipped(io, "demo", plan.name, plan.agreement, { device: plan.device });
  const { heads, certificate } = opened;
  const { verdict } = await verifyCertificate(certificate, { heads });
  return { ...plan, ...opened, io, valid: verdict !== "refuted" };
}

async function answer(demo: ChatDemo, question: string): Promise<ChatAnswer> {
  const { heads, model, certificate, maxNewTokens, io } = demo;
  const prompt = await idsOf(model, question);
  const { pieces, summary } = await write(io, heads, prompt, { policy: certificate.policy, maxNewTokens });
  const plain = await write(io, model, prompt, { maxNewTokens });
  const { argmax } = await recordStates(model, [answerDocument(prompt, summary.ids)], []);
  const differs = summary.ids.map((id, i) => argmax[i] !== id);
  return { question, pieces, summary, plain: plain.summary.text, differs };
}

const shareOf = (flags: readonly boolean[]) => flags.filter(Boolean).length / flags.length;

function idsOf({ tokenizer }: Model, content: string): Promise<number[]> {
  return encodeChat(tokenizer, [{ role: "user", content }]);
}

function openingLines({ io, model, exits, heads, certificate, valid }: ChatDemo): string[] {
  const { config, dtype, device } = model;
  const { numLayers, hiddenSize, vocabSize } = config;
  const { bold } = colorsOf(io);
  return [
    bold(
      `1. The model: ${exits.name}, ${numLayers} blocks, hidden size ${hiddenSize}, ${vocabSize} tokens, in ${dtype} ` +
        `on device ${device.backend}`,
    ),
    `Shipped exits, after ${heads.depths.join(", ")} blocks; the model itself is frozen.`,
    "",
    bold("2. What they promise"),
    ...promiseLines(certificate),
    "Assumed:",
    ...certificate.assumptions.map((code) => `- ${describeAssumption(code)}`),
    verdictOf(valid),
    "",
  ];
}

function answerLines(answers: readonly ChatAnswer[], { io, model, heads }: ChatDemo): string[] {
  const { bold, dim, underline } = colorsOf(io);
  const mark = (text: string) => (io.color ? underline(text) : `‹${text}›`);
  const { numLayers } = model.config;
  const colors = depthColors(io, heads.depths, numLayers);
  const counts = Array.from({ length: numLayers + 1 }, (_, depth) =>
    answers.reduce((sum, { summary }) => sum + (summary.depthCounts[depth] ?? 0), 0),
  );
  return [
    bold("3. Answers through exits, judged by the full model"),
    ...(io.color ? [`Colours: ${colors.legend}.`] : []),
    ...answers.flatMap(({ question, pieces, plain, differs }) => [
      "",
      dim(question),
      pieces
        .map(({ text, depth }, i) =>
          text === "" ? text : colors.paint(differs[i] === true ? mark(text) : text, depth),
        )
        .join(""),
      dim(
        `(${percent(1 - shareOf(differs))} of its tokens are the full model's after the same text; others are marked)`,
      ),
      dim("The full model's own answer:"),
      plain,
    ]),
    "",
    "The promise is about the mean over many answers like those it was certified on. These are few, and exits wrote " +
      "the text before each token too, so they may keep less.",
    "",
    ...depthHistogram(counts, colors),
    "",
  ];
}

function chatSpeedLines({ runs, results }: Comparison, { io, maxNewTokens }: ChatDemo): string[] {
  return [
    colorsOf(io).bold(
      `4. Speed: medians of ${runs} interleaved greedy answers of at most ${maxNewTokens} tokens for each way`,
    ),
    ...table([
      ["", "tokens/s", "ratio (quartiles)", "depth", "agreement"],
      ...results.map(({ name, tokensPerSecond, ratio, meanDepth, identical, agreement }, i) => [
        name,
        tokensPerSecond.toFixed(0),
        i === 0 ? "1" : ratioOf(ratio),
        meanDepth.toFixed(2),
        identical ? "identical" : percent(agreement),
      ]),
    ]),
    "",
  ];
}

/** Questions that nothing was trained or certified on. */
const questions: readonly string[] = [
  "Why is the sky blue during the day and red in the evening?",
  "Write a short letter to a friend who has just moved to another city.",
  "What should I pack for a weekend in the mountains?",
  "Explain to a child how bread is made.",
  "Name three ways to save water at home, and say why each of them works.",
  "Tell a short story about a lighthouse keeper and a storm.",
  "What is the difference between a lake and a sea?",
  "Give me a simple plan for learning to play the guitar.",
];
