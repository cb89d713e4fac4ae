/**
 * Evidence of answers: the full model answers every prompt; records of its answers propose candidates on the grid
 * split, as for text that is given; and each candidate answers the prompts of the test, which takes the time. So
 * decoding starts where a record says that an answer may first differ:
 *   exact fill, greedy text   at the first token that leaves with another than the full model's
 *   otherwise                 at the first token that leaves: a sampled token is drawn from another distribution there,
 *                             and with a fill that changes other tokens all that follow have other keys and values
 * Before it, the answer is the full model's; without such a token it is so from end to end.
 */
import type { CancelSignal } from "../../../cancel-signal.js";
import { EarlyExitError, requireInteger } from "../../../errors.js";
import { type FillName, isExactFill } from "../../../exits/fill/fill.js";
import type { ExitHeads } from "../../../exits/heads/exit-heads.js";
import { exitFires, scoreAt } from "../../../exits/heads/score.js";
import { createPolicy, type Policy } from "../../../exits/plan/policy.js";
import { canonicalSampling, isPlainGreedy, type SamplingOptions } from "../../../model/decode/sampling.js";
import type { Choice } from "../../../model/decode/decoder.js";
import { readPrompt } from "../../../model/decode/prompt.js";
import { generateDefaults } from "../../../model/decode/text.js";
import { answerDocument, type Model } from "../../../model/index.js";
import { shown } from "../../../shown.js";
import { rawVector, type ThresholdVector } from "../../procedures/token-table.js";
import { hashDocument, type HashedDocument, hashDocuments } from "../documents.js";
import { type Evidence, streamedEvidence } from "../evidence.js";
import type { AnswerSettings } from "../policy-runs.js";
import type { DocumentRecord } from "../record.js";
import { arrange, type ArrangeOptions } from "../split.js";
import { type AnswerJudge, type AnswerTask, checkExpected, hashExpected, promptError } from "./losses.js";
import { type AnswerStoreOptions, type AskedText, writeAnswers, type WrittenAnswer } from "./write-answers.js";

export { answerJudge } from "./losses.js";

/** Settings of answers, as `generate` has them. */
interface AnsweringOptions {
  /** Tokens of an answer at most. @default 128 */
  readonly maxNewTokens?: number;
  /** Prompt i is answered with seed + i, by the full model and by every policy. @default 0 */
  readonly seed?: number;
  /** Ends an answer; the string is no part of it. */
  readonly stop?: string | readonly string[];
}

export interface AnswerEvidenceOptions extends AnswerStoreOptions {
  readonly sampling?: SamplingOptions | undefined;
  readonly answers?: AnsweringOptions;
  /** Prompts answered together. @default 16 */
  readonly batchSize?: number;
  readonly signal?: CancelSignal | undefined;
  /**
   * Called after every answer; a promise is awaited. Candidate -1 is the full model, and later candidates never run if
   * one before fails.
   */
  readonly onAnswer?: (event: { readonly candidate: number; readonly done: number; readonly total: number }) => unknown;
}

/** Steps that a verifier does with code of its own. */
interface Replaced {
  /** @default begins where records say that answers may differ */
  readonly write?: typeof writeAnswers;
  /** Documents with the leaders of their copies. @default those that `hashDocuments` finds */
  readonly classed?: (documents: readonly HashedDocument[]) => readonly HashedDocument[];
}

export async function answerEvidence(
  heads: ExitHeads,
  prompts: readonly (string | AnswerTask)[],
  judge: AnswerJudge,
  { answers = {}, sampling, batchSize = 16, store, share = () => true, signal, onAnswer }: AnswerEvidenceOptions,
  terms: ArrangeOptions & { readonly epsilon: number; readonly fill: FillName },
  { write: writeTexts = writeAnswers, classed = (documents) => documents }: Replaced = {},
): Promise<Evidence> {
  const { maxNewTokens = generateDefaults.maxNewTokens, seed = 0, stop = [] } = answers;
  requireInteger("calibrate: answers.maxNewTokens", maxNewTokens, 1);
  requireInteger("calibrate: batchSize", batchSize, 1);
  const chosen = canonicalSampling(sampling);
  const tasks = await askedTasks(heads.model, prompts, judge, maxNewTokens);
  const settings: AnswerSettings = {
    ...{ epsilon: terms.epsilon, definition: judge.definition, maxNewTokens, seed },
    expected: await hashExpected(tasks.map(({ task }) => task)),
    stop: typeof stop === "string" ? [stop] : stop,
  };
  const kept = store && { store, share };
  const write = (policy: Policy | undefined, texts: readonly AskedText[], candidate = -1) => {
    let done = 0;
    return writeTexts(heads, policy, texts, {
      ...kept,
      ...{ ...chosen, maxNewTokens, seed, stop, batchSize, signal },
      onAnswer: () => onAnswer?.({ candidate, done: ++done, total: texts.length }),
    });
  };
  const full = await write(undefined, tasks);
  const [empty, ...more] = full.flatMap(({ text }, i) => (heads.model.hasTokenizer && text === "" ? [i] : []));
  if (empty !== undefined) {
    const others = more.length === 0 ? "" : `, and so do ${more.join(", ")}`;
    const found = `gets an empty answer from the full model, of which nothing can be lost${others}; leave these out`;
    throw promptError("answer-empty", empty, found);
  }
  const texts = tasks.map(({ promptIds, task: { group } }, i) => answerDocument(promptIds, full[i]!.ids, group));
  const hashed = classed(await hashDocuments(heads, texts, Infinity, true));
  const counted = await Promise.all(
    hashed.map(async (one, i) => {
      const { ids } = full[i]!;
      return { ...one, tokens: ids.length, answer: await hashDocument(ids) };
    }),
  );
  const arrangement = await arrange(counted, terms);
  const { documents } = arrangement;
  const longest = Math.max(...tasks.map(({ promptIds }) => promptIds.length)) + maxNewTokens;
  const sequenceLength = Math.min(longest, heads.model.config.maxPositionEmbeddings);
  // All records are kept, named by prompt and answer: the same prompt may have two answers.
  const recorded = await Promise.all(
    documents.map(async (document) => {
      const { ids, from } = texts[document.place]!;
      return { ...document, ids, from, hash: await hashDocument(ids, from) };
    }),
  );
  const streamed = await streamedEvidence(
    heads,
    { ...arrangement, documents: recorded, grid: Infinity },
    { ...kept, sampling, sequenceLength, signal, fill: terms.fill },
  );
  const { numLayers } = heads.model.config;
  const start = { exact: isExactFill(terms.fill) && isPlainGreedy(chosen), numLayers };
  /** By all that decides a run: the answers to the documents, with their losses. */
  const ran = new Map<string, (WrittenAnswer & { readonly loss: number })[]>();
  return {
    ...streamed,
    ...arrangement,
    answers: settings,
    async run(first, end, { score, vectors }) {
      const keyOf = (vector: ThresholdVector) => `${first} ${end} ${score} ${vector.join()}`;
      const places = documents.slice(first, end).map(({ place }) => place);
      for (const vector of vectors) {
        if (ran.has(keyOf(vector))) continue;
        const policy = createPolicy(heads, rawVector(vector, score), { score, fill: terms.fill });
        const asked = places.map((place, row): AskedText => ({
          ...tasks[place]!,
          known: async () => knownTokens(await streamed.record!(first + row), policy, full[place]!.ids, start),
        }));
        const found = [];
        for (const [row, answer] of (await write(policy, asked, ran.size)).entries()) {
          const place = places[row]!;
          found.push({ ...answer, loss: await judge.lossOf(full[place]!, answer, tasks[place]!.task, place) });
        }
        ran.set(keyOf(vector), found);
      }
      const all = places.flatMap((_, row) => vectors.map((vector) => ran.get(keyOf(vector))![row]!));
      const exits = heads.depths.length;
      return {
        documents: places.length,
        candidates: vectors.length,
        exits,
        tokens: Int32Array.from(places, (place) => full[place]!.ids.length),
        left: Int32Array.from(all.flatMap(({ left }) => left)),
        wrong: new Float64Array(all.length * exits),
        deep: new Float64Array(all.length),
        active: Uint8Array.from(vectors.flat(), (threshold) => Number(threshold < Infinity)),
        answers: {
          full: documents.slice(first, end).map(({ answer }) => answer),
          losses: all.map(({ loss }) => loss),
          written: all.map(({ ids }) => ids.length),
          hashes: await Promise.all(all.map(({ ids }) => hashDocument(ids))),
        },
      };
    },
  };
}

/** The tokens of the full model's answer that a policy certainly gives too, and where they leave. */
function knownTokens(
  { exits }: DocumentRecord,
  { exits: thresholds, score }: Policy,
  ids: readonly number[],
  { exact, numLayers }: { readonly exact: boolean; readonly numLayers: number },
): Choice[] {
  const known: Choice[] = [];
  for (const [t, id] of ids.entries()) {
    const exit = thresholds.findIndex(({ threshold }, e) => exitFires(scoreAt(exits[e]!, t, score), threshold, score));
    if (exit >= 0 && !(exact && exits[exit]!.agrees[t] === 1)) break;
    known.push({ id, depth: thresholds[exit]?.depth ?? numLayers, exit: exit < 0 ? undefined : exit });
  }
  return known;
}

interface AskedTask extends AskedText {
  readonly task: AnswerTask;
}

/** Checked and encoded. Throws an EarlyExitError that names the first prompt that is not legal. */
async function askedTasks(
  model: Model,
  prompts: readonly (string | AnswerTask)[],
  { loss }: AnswerJudge,
  maxNewTokens: number,
): Promise<AskedTask[]> {
  const asked: AskedTask[] = [];
  for (const [index, given] of prompts.entries()) {
    const task = typeof given === "string" ? { prompt: given } : given;
    const { prompt, expected, group } = Object(task) as Partial<AnswerTask>;
    if ((typeof prompt !== "string" && !Array.isArray(prompt)) || (group !== undefined && typeof group !== "string")) {
      throw promptError("document-malformed", index, `is ${shown(given)}; give a text, or { prompt, expected, group }`);
    }
    if (loss === "accuracy" || loss === "worse") checkExpected(expected, index);
    const promptIds = await readPrompt(model, prompt).catch((error: unknown) => {
      if (!(error instanceof EarlyExitError)) throw error;
      throw promptError(error.code, index, `cannot be read: ${error.message}`, error);
    });
    const most = model.config.maxPositionEmbeddings + 1 - maxNewTokens;
    const { length } = promptIds;
    if (length < 2 || length > most) {
      const found = `has ${length} tokens; expected 2 to ${most}, with answers.maxNewTokens ${maxNewTokens}`;
      throw promptError("context-overflow", index, found);
    }
    asked.push({ index, promptIds, task });
  }
  return asked;
}
