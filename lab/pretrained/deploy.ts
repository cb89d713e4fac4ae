/**
 * From trained maps to the heads that are used: a preview of the vocabulary for each, and one more preview in place
 * of the model's unembedding, all fitted to the recorded states. A preview of a list ranks the most frequent tokens.
 */
import { attachHeads, type ExitHeads } from "early-exits";
import { type CalibrationRecords, recordDocuments } from "early-exits/calibrate";
import { cachedBatches, fitPreviews, type PreviewShape } from "early-exits/exits";
import { folderStore } from "early-exits/node";
import { type Answer, documentOf } from "./answers.js";

/** Tokens of a conversation, at most: the longest prompt and answer. */
export const CONVERSATION = 512;

interface DeployOptions {
  /** Of the heads. */
  readonly preview: PreviewShape;
  /** Of the exit in place of the unembedding. */
  readonly unembeddingPreview: PreviewShape;
  /** The folder of recorded states. */
  readonly states: string;
  /** Positions to fit on. */
  readonly positions: number;
}

/** Heads with previews, which take over the trained ones' maps. */
export async function deployMaps(
  maps: ExitHeads,
  { preview, unembeddingPreview, states, positions }: DeployOptions,
): Promise<ExitHeads> {
  // Without a dtype, beside an int8 model: int8, and int4 for coarse logits.
  const { model, depths } = maps;
  const heads = attachHeads(model, { exits: depths, kind: "linear", preview, unembeddingPreview });
  for (const [i, { weights }] of maps.heads.entries()) heads.heads[i]!.weights.set(weights.tensors);
  heads.taught = maps.taught;
  const source = await cachedBatches(model, depths, folderStore(states), { seed: 2 });
  await fitPreviews(heads, source, { positions });
  return heads;
}

/** Runs the model and the heads on answers, once: certificates of every level come from it. */
export function recordAnswers(
  heads: ExitHeads,
  answers: readonly Answer[],
  name: string,
  store: string,
): Promise<CalibrationRecords> {
  const started = performance.now();
  let positions = 0;
  return recordDocuments(heads, answers.map(documentOf), {
    sequenceLength: CONVERSATION,
    store: folderStore(store),
    onDocument({ document, documents, positions: own }) {
      positions += own;
      if (document % 50 !== 0) return;
      const speed = (1000 * positions) / (performance.now() - started);
      console.error(`${name}: ${document} of ${documents}, ${speed.toFixed(0)} positions/s`);
    },
  });
}

/**
 * The n most frequent tokens of answers, ascending by id. If they have fewer, the most frequent ones of prompts and
 * then the lowest ids are added.
 */
export function listedTokens(
  answers: readonly (readonly number[])[],
  prompts: readonly (readonly number[])[],
  n: number,
  vocabSize: number,
): number[] {
  const [written, read] = [answers, prompts].map((texts) => {
    const counts = new Float64Array(vocabSize);
    for (const id of texts.flat()) counts[id]!++;
    return counts;
  }) as [Float64Array, Float64Array];
  return Array.from(written.keys())
    .sort((a, b) => written[b]! - written[a]! || read[b]! - read[a]! || a - b)
    .slice(0, n)
    .sort((a, b) => a - b);
}

/** Tokens that a model writes for its own answers, without those of the prompts. */
export function answerTokens(answers: readonly Answer[]): number {
  return answers.reduce((sum, { answer }) => sum + answer.length, 0);
}
