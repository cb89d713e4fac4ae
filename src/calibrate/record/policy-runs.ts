/** Counts of candidate policies as run (run-policies.ts), by document, as plain data that serves every split. */
import type { FillName } from "../../exits/fill/fill.js";
import type { ScoreName, Threshold } from "../../exits/heads/score.js";
import type { Tally } from "../procedures/tally.js";
import type { Counted } from "./documents.js";
import { judgedBy, type Subject } from "./subject.js";

export interface RunCandidates {
  readonly score: ScoreName;
  readonly fill: FillName;
  /** [candidates][exits], strictest first. */
  readonly thresholds: readonly (readonly Threshold[])[];
}

export interface DocumentCounts {
  /** [candidates, exits] tokens that left at each exit. */
  readonly left: readonly number[];
  /** [candidates, exits] of these, those that differ from the reference's; for sampled text, 2^20 · Σ TV. */
  readonly wrong: readonly number[];
  /** [candidates] tokens that ran all blocks and still differ, counted alike. */
  readonly deep: readonly number[];
  /** [candidates] tokens of text that they wrote themselves. */
  readonly written?: readonly number[];
}

/** One list after another: of candidates, or of documents. */
export function joinCounts(parts: readonly DocumentCounts[]): DocumentCounts {
  const written = parts.flatMap(({ written = [] }) => written);
  return {
    left: parts.flatMap(({ left }) => left),
    wrong: parts.flatMap(({ wrong }) => wrong),
    deep: parts.flatMap(({ deep }) => deep),
    ...(written.length > 0 && { written }),
  };
}

export interface OwnText {
  readonly maxNewTokens: number;
  /** Prompt i was sampled with seed + i. */
  readonly seed: number;
}

/** Settings of answers that the full model and policies gave to the documents, which are prompts. */
export interface AnswerSettings {
  /** The largest mean loss that the claim allows. */
  readonly epsilon: number;
  /** The loss in words, or the hash of an own one. */
  readonly definition: string;
  /** SHA-256 of what is expected of all answers. */
  readonly expected: string;
  readonly maxNewTokens: number;
  /** Prompt i was answered with seed + i. */
  readonly seed: number;
  readonly stop: readonly string[];
}

/** The most tokens of a document that were judged: of the text written after a prompt, if there is one. */
export function judgedTokens({ documents, settings, sequenceLength }: JudgedTerms): number {
  const most = documents?.reduce((most, { tokens }) => Math.max(most, tokens), 0) ?? sequenceLength;
  return settings.answers?.maxNewTokens ?? most;
}

export interface JudgedTerms {
  readonly documents?: readonly { readonly tokens: number }[];
  /** Tokens up to which documents were judged. */
  readonly sequenceLength: number;
  readonly settings: { readonly answers?: AnswerSettings };
}

export interface RunDocument extends Counted {
  /** Judged tokens. */
  readonly tokens: number;
  readonly counts: DocumentCounts;
}

/** Plain, JSON-able. */
export interface PolicyRuns extends RunCandidates {
  readonly format: "early-exits/policy-runs";
  readonly version: 1;
  readonly subject: Subject;
  readonly sequenceLength: number;
  /** Settings of text written after the documents as prompts; absent if text was given. */
  readonly ownText?: OwnText;
  readonly documents: readonly RunDocument[];
}

export function tallyRuns({ documents, thresholds, subject }: PolicyRuns): Tally {
  const { left, wrong, deep, written } = joinCounts(documents.map(({ counts }) => counts));
  return {
    documents: documents.length,
    candidates: thresholds.length,
    exits: subject.depths.length,
    lossScale: judgedBy(subject).lossScale,
    tokens: Int32Array.from(documents, ({ tokens }) => tokens),
    ...(written && { written: Int32Array.from(written) }),
    left: Int32Array.from(left),
    wrong: Float64Array.from(wrong),
    deep: Float64Array.from(deep),
    active: Uint8Array.from(thresholds.flat(), (threshold) => Number(threshold !== "never")),
  };
}

/** Some candidates, by index; -1 stands for "never exit", which needs the full model as the reference. */
export function pickVectors(tally: Tally, picked: readonly number[]): Tally {
  const { candidates, exits, answers, written } = tally;
  /** Takes rows of [documents, candidates, width]. */
  const pick = <One>(from: ArrayLike<One>, width: number): One[] => {
    const documents = from.length / candidates / width;
    return Array.from({ length: documents * picked.length * width }, (_, i) => {
      const row = Math.floor(i / width);
      const candidate = picked[row % picked.length]!;
      if (candidate < 0) return 0 as One;
      return from[(Math.floor(row / picked.length) * candidates + candidate) * width + (i % width)]!;
    });
  };
  return {
    ...tally,
    candidates: picked.length,
    left: Int32Array.from(pick(tally.left, exits)),
    wrong: Float64Array.from(pick(tally.wrong, exits)),
    deep: Float64Array.from(pick(tally.deep, 1)),
    ...(written && { written: Int32Array.from(pick(written, 1)) }),
    active: Uint8Array.from(pick(tally.active, exits)),
    ...(answers && {
      answers: {
        ...answers,
        losses: pick(answers.losses, 1),
        written: pick(answers.written, 1),
        hashes: pick(answers.hashes, 1),
      },
    }),
  };
}
