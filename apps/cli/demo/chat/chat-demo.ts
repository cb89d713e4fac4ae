/**
 * The demo on a chat model with exits in the package: answers through certified exits, judged by the full model, then
 * plain decoding, exits and lossless decoding timed in turn. No training: that takes a real model hours.
 */
import {
  type Certificate,
  type ExitHeads,
  generate,
  type GenerateSummary,
  type Model,
  verifyCertificate,
} from "early-exits";
import { compareWays, type Way, type WayResult } from "early-exits/evaluate";
import { recordStates } from "early-exits/exits";
import { answerDocument, encodeChat } from "early-exits/model";
import { openShipped } from "../../generation/open-shipped.js";
import { breathe, type Io } from "../../io.js";
import type { ShippedExits } from "../../shipped/shipped-exits.js";
import { withProgress } from "../../progress.js";
import { questions } from "./questions.js";

export interface ChatPlan {
  /** Path, or name on the Hub. */
  readonly name: string;
  readonly device: string | undefined;
  readonly agreement: number;
  readonly maxNewTokens: number;
  readonly runs: number;
}

export interface ChatDemo extends ChatPlan {
  readonly io: Io;
  readonly model: Model;
  readonly exits: ShippedExits;
  readonly heads: ExitHeads;
  readonly certificate: Certificate;
  /** Verdict of the verifier, which shares no code with calibration. */
  readonly valid: boolean;
}

export interface ChatAnswer {
  readonly question: string;
  readonly pieces: readonly { readonly text: string; readonly depth: number }[];
  readonly summary: GenerateSummary;
  /** Share of the tokens that are the full model's choice after the same text. */
  readonly agreement: number;
}

export interface ChatSpeeds {
  readonly runs: number;
  /** Plain, exits, lossless. */
  readonly results: readonly WayResult[];
}

const SHOWN = 3;

/**
 * Opens the model in the dtype of its certificates. Throws a UsageError if the package has no exits for it, or none
 * certified at this level.
 */
export async function openChatDemo(plan: ChatPlan, io: Io): Promise<ChatDemo> {
  const opened = await openShipped(io, "demo", plan.name, plan.agreement, { device: plan.device });
  const { heads, certificate } = opened;
  const { verdict } = await verifyCertificate(certificate, { heads });
  return { ...plan, ...opened, io, valid: verdict !== "refuted" };
}

export async function answerQuestions(demo: ChatDemo): Promise<ChatAnswer[]> {
  const answers: ChatAnswer[] = [];
  for (const question of questions.slice(0, SHOWN)) answers.push(await answer(demo, question));
  return answers;
}

async function answer(demo: ChatDemo, question: string): Promise<ChatAnswer> {
  const { heads, model, certificate, maxNewTokens, io } = demo;
  const prompt = await idsOf(model, question);
  const generation = generate(heads, prompt, { policy: certificate.policy, maxNewTokens, signal: io.signal });
  const pieces: ChatAnswer["pieces"][number][] = [];
  for await (const { text, depth } of generation) {
    pieces.push({ text, depth });
    await breathe();
  }
  const { summary } = generation;
  const { ids, from } = answerDocument(prompt, summary.ids);
  const { argmax } = await recordStates(model, [{ ids, from: from ?? 0 }], []);
  const same = summary.ids.filter((id, i) => argmax[i] === id).length;
  return { question, pieces, summary, agreement: same / summary.ids.length };
}

export async function timeAnswers(demo: ChatDemo): Promise<ChatSpeeds> {
  const { heads, model, certificate, maxNewTokens, runs, io } = demo;
  const { policy } = certificate;
  const ways: Way[] = [
    { name: "plain", options: {} },
    { name: "exits", options: { policy } },
    { name: "lossless", options: { policy, lossless: true } },
  ];
  const prompts = await Promise.all(questions.map((question) => idsOf(model, question)));
  return withProgress(io, "generate", (report) =>
    compareWays(heads, ways, prompts, {
      runs,
      maxNewTokens,
      stopAtEndOfText: true,
      now: io.now,
      signal: io.signal,
      onRun: (event) => report({ ...event, text: "runs" }),
    }),
  );
}

function idsOf({ tokenizer }: Model, content: string): Promise<number[]> {
  return encodeChat(tokenizer, [{ role: "user", content }]);
}
