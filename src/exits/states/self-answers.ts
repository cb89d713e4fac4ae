/**
 * Answers that the model samples itself, in batches, to train and calibrate heads on. Answer i depends on its prompt
 * and on seed + i alone, so a run can go on after the answers that it has.
 *
 * With depths, sampling keeps the states for training: it runs the blocks and positions of a recording, with the same
 * bits on a batch-independent device. Common beginnings of consecutive prompts run once.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError, requireInteger } from "../../errors.js";
import { fillCaches, pendingAt } from "../../model/advance.js";
import { commonLength, type OpenText, type SequenceStore } from "../../model/decode/sequence-store.js";
import { type Decoder, plainDecoder, type Request } from "../../model/decode/decoder.js";
import { generateBatchWith, wholeTexts } from "../../model/decode/generate.js";
import { type Prompt, readPrompt } from "../../model/decode/prompt.js";
import { range } from "../../model/families/family.js";
import type { SamplingOptions } from "../../model/decode/sampling.js";
import { advance, type Model, Sequence } from "../../model/index.js";
import { createRng, type Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { rowStats } from "../../tensor/ops/reduce.js";
import { concatRows } from "../../tensor/ops/select.js";
import { type NormedStates, normStates, type RecordedStates } from "./record-states.js";
import { confidencesIn } from "../heads/score.js";
import { joined } from "../../tensor/formats/bytes.js";
import { ascending } from "../heads/placement.js";

/** Texts that are sampled together. */
const BATCH = 16;

interface SelfAnswersOptions extends SamplingOptions {
  /** New tokens per answer at most. @default 144, or what the context has room for */
  readonly maxNewTokens?: number;
  /** Answers sampled together. @default 16 */
  readonly batchSize?: number;
  /** Answer i is sampled with seed + i. @default 0 */
  readonly seed?: number;
  /** Index of the first prompt to answer: those before have been. @default 0 */
  readonly first?: number;
  /** States to keep beside the answers. @default none */
  readonly depths?: readonly number[];
  readonly signal?: CancelSignal;
}

/** With the states of the positions that chose its tokens. */
interface SelfAnswer {
  /** Index of the prompt. */
  readonly index: number;
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
  /** As `recordStates` would give for `answerDocument(prompt, answer)`; absent without depths. */
  readonly states?: RecordedStates;
}

// The common beginning of consecutive prompts, such as a system prompt, or all of a prompt answered several times, runs
// once. Every text starts from a copy of its keys and values, whose bits do not depend on what follows.

/** Opens texts in the order of their prompts. Dispose of it when all are open, or none will be. */
function promptTrunk(prompts: readonly (readonly number[])[], signal: CancelSignal | undefined) {
  /** The common beginning of the prompt opened last and its neighbours. */
  let kept: Sequence | undefined;
  return {
    async open(model: Model, { index, promptIds, capacity }: OpenText): Promise<Sequence> {
      const trunk = (kept ??= new Sequence(model));
      const most = promptIds.length - 1; // the last position belongs to the first round
      trunk.truncate(commonLength(trunk.ids, promptIds));
      const shared = Math.min(most, commonLength(promptIds, prompts[index + 1] ?? []));
      if (shared > trunk.length) {
        const begin = trunk.length;
        trunk.append(...promptIds.slice(begin, shared));
        await fillCaches(model, [{ sequence: trunk, positions: range(begin, shared) }], { signal });
      }
      const length = Math.min(most, trunk.length);
      const sequence = trunk.clone({ length, capacity });
      sequence.append(...promptIds.slice(length));
      return sequence;
    },
    close: (sequence: Sequence): void => sequence.dispose(),
    dispose: (): void => kept?.dispose(),
  };
}

/** Samples an answer to every prompt (token ids), in order, at temperature 1 unless set. */
export async function* selfAnswers(
  model: Model,
  prompts: readonly (readonly number[])[],
  options: SelfAnswersOptions = {},
): AsyncGenerator<SelfAnswer, void, undefined> {
  const { batchSize = BATCH, seed = 0, first = 0, depths, maxNewTokens = 144, temperature = 1 } = options;
  requireInteger("selfAnswers: batchSize", batchSize, 1);
  requireInteger("selfAnswers: first", first, 0, prompts.length);
  requireInteger("selfAnswers: maxNewTokens", maxNewTokens, 1);
  const asked = prompts.slice(first);
  const longest = asked.reduce((length, ids) => Math.max(length, ids.length), 0);
  const room = model.config.maxPositionEmbeddings - longest;
  if (room < 1) {
    throw new OptionError(
      "context-overflow",
      `selfAnswers: a prompt of ${longest} tokens leaves no room in a context of ` +
        `${model.config.maxPositionEmbeddings}; shorten the prompts`,
      { longest },
    );
  }
  const limit = Math.min(maxNewTokens, room);
  const trunk = promptTrunk(asked, options.signal);
  const recorder = recorderOf(model, trunk, depths);
  const run = generateBatchWith(
    model,
    asked,
    { ...options, temperature, batchSize, seed: seed + first, maxNewTokens: limit },
    recorder.decoder,
    recorder.sequences,
  );
  try {
    for await (const [i, answer] of wholeTexts(model, run, limit)) {
      const states = recorder.take(i);
      yield { index: first + i, prompt: asked[i]!, answer, ...(states && { states }) };
    }
  } finally {
    trunk.dispose();
  }
}

/** Of one text, row by row. */
interface Kept {
  /** By depth, with those after the last block. */
  readonly rows: Map<number, Float32Array[]>;
  readonly positions: number[];
  readonly argmax: number[];
  readonly logSumExp: number[];
}

/** A plain decoder that keeps states at the depths, if any. */
function recorderOf(model: Model, store: SequenceStore, asked: readonly number[] | undefined) {
  const { hiddenSize, numLayers } = model.config;
  const depths = asked && ascending(asked);
  const keptOf = new Map<Sequence, Kept>();
  /** By prompt: texts are opened in that order. */
  const texts: Kept[] = [];
  let stats: Tensor | undefined;
  const onLogits = (logits: Tensor): void => void (stats = rowStats(logits));
  const plain = plainDecoder(model, undefined, depths && onLogits);

  const keepStates = async (requests: readonly Request[], depth: number): Promise<void> => {
    const values = await valuesOf(() =>
      concatRows(requests.map(({ sequence }) => sequence.hidden(sequence.length - 1))),
    );
    requests.forEach(({ sequence }, r) => {
      const { rows } = keptOf.get(sequence)!;
      const own = rows.get(depth) ?? [];
      rows.set(depth, own);
      own.push(values.slice(r * hiddenSize, (r + 1) * hiddenSize));
    });
  };
  const keepOutcome = async (requests: readonly Request[]): Promise<void> => {
    const confidences = confidencesIn(await stats!.read());
    stats!.dispose();
    requests.forEach(({ sequence }, r) => {
      const kept = keptOf.get(sequence)!;
      kept.positions.push(sequence.length - 1);
      kept.argmax.push(confidences[r]!.argmax);
      kept.logSumExp.push(confidences[r]!.logSumExp);
    });
  };

  const sequences: SequenceStore = {
    async open(of, text) {
      const sequence = await store.open(of, text);
      const kept: Kept = { rows: new Map(), positions: [], argmax: [], logSumExp: [] };
      keptOf.set(sequence, kept);
      texts.push(kept);
      return sequence;
    },
    close(sequence) {
      keptOf.delete(sequence);
      store.close(sequence);
    },
  };
  const decoder: Decoder = {
    async next(requests) {
      if (depths === undefined) return plain.next(requests);
      for (const depth of depths) {
        if (depth === numLayers) continue;
        advance(model, pendingAt(requests, depth), depth);
        await keepStates(requests, depth);
      }
      const rounds = await plain.next(requests);
      await keepStates(requests, numLayers);
      await keepOutcome(requests);
      return rounds;
    },
  };
  /** States of a text that has ended, once; undefined without depths. */
  const take = (text: number): RecordedStates | undefined => {
    if (depths === undefined) return undefined;
    const { rows, positions, argmax, logSumExp } = texts[text]!;
    const states = (depth: number): Float32Array => joined(Float32Array, rows.get(depth)!);
    const hidden = depths.map((depth): [number, NormedStates] => [depth, normStates(states(depth), hiddenSize)]);
    const final = states(numLayers);
    rows.clear();
    return {
      hidden: new Map(hidden),
      final,
      positions: Int32Array.from(positions),
      argmax: Int32Array.from(argmax),
      logSumExp: Float32Array.from(logSumExp),
    };
  };
  return { decoder, sequences, take };
}

// Text sampled from the model itself: data without a corpus, like the text that heads meet when it generates. Documents
// are token ids; the prompt's begin-of-text token is no target.

interface SampleOptions extends SamplingOptions {
  /** @default 64 */
  readonly count?: number;
  /** New tokens per document at most; fewer if the longest prompt leaves less of the context. @default 128 */
  readonly length?: number;
  /** Used in turn. @default an empty document: the begin-of-text token */
  readonly prompts?: readonly Prompt[];
  /** @default 0 */
  readonly seed?: number;
  readonly signal?: CancelSignal;
}

/**
 * Yields prompt and continuation as token ids, at temperature 1 unless set.
 *
 * @example
 * ```ts
 * import { sampleDocuments } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const documents: number[][] = [];
 * for await (const ids of sampleDocuments(model, { count: 2, length: 8, seed: 1 })) documents.push(ids);
 * console.log(documents.length); // 2
 * ```
 */
export async function* sampleDocuments(
  model: Model,
  options: SampleOptions = {},
): AsyncGenerator<number[], void, undefined> {
  const { count = 64, length = 128, prompts = [""], seed = 0, temperature = 1, ...sampling } = options;
  requireInteger("sampleDocuments: count", count, 1);
  requireInteger("sampleDocuments: length", length, 1);
  const ids = await Promise.all(prompts.map((prompt) => readPrompt(model, prompt)));
  const asked = Array.from({ length: count }, (_, i) => ids[i % ids.length]!);
  const room = model.config.maxPositionEmbeddings - Math.max(...ids.map((prompt) => prompt.length));
  const limit = Math.min(length, room);
  const own = createRng(seed).integer(2 ** 31); // texts of neighbouring seeds have nothing in common
  const run = generateBatchWith(
    model,
    asked,
    { ...sampling, temperature, batchSize: BATCH, maxNewTokens: limit, seed: own },
    plainDecoder(model),
  );
  for await (const [i, text] of wholeTexts(model, run, limit)) yield [...asked[i]!, ...text];
}
