/**
 * The predictions of every head and of the full model at every generated token, from one pass over the whole text. With
 * exact fills of keys and values (lazy, shared) they are those of decoding, bit for bit; with other fills they are what
 * the exits would predict if no block had been skipped. And the first guesses after every block.
 */
import type { ExitHeads, Model, Policy } from "early-exits";
import { scope, type Tensor } from "early-exits/tensor";
import { type Confidence, exitFires, readConfidences, scoreOf } from "early-exits/exits";
import type { Guess, LensRow, Prediction } from "./protocol.js";

/** A text, and the model that wrote it. */
export interface Inspected {
  readonly model: Model;
  readonly heads: ExitHeads | undefined;
  readonly prompt: readonly number[];
  readonly ids: readonly number[];
}

/** Reads the state after a block: for every token of the text, the confidences at the position that chose it. */
interface BlockReader {
  readonly depth: number;
  readonly lens: () => Promise<Confidence[]>;
  readonly head: (() => Promise<Confidence[]>) | undefined;
}

/** Runs the model over a text, and gives the blocks that are wanted, one after the other. */
function* blocksOf(
  { model, heads, prompt, ids }: Inspected,
  wanted: (depth: number) => boolean,
): Generator<BlockReader> {
  const text = [...prompt, ...ids].slice(0, model.config.maxPositionEmbeddings);
  const read = async (logits: Tensor, confidencesIn: typeof readConfidences): Promise<Confidence[]> => {
    const confidences = await confidencesIn(logits);
    logits.dispose();
    return confidences.slice(prompt.length - 1, prompt.length - 1 + ids.length);
  };
  const states = scope(() => [...model.forward(text, { wanted })]);
  try {
    for (const [depth, state] of states) {
      const head = heads?.heads.find((one) => one.depth === depth);
      yield {
        depth,
        lens: () =>
          read(
            scope(() => model.unembed(state)),
            readConfidences,
          ),
        head: head && (async () => read(await head.logits(state), (logits) => head.confidences(logits))),
      };
    }
  } finally {
    for (const [, state] of states) state.dispose();
  }
}

export async function predictionsOf(text: Inspected, policy: Policy | undefined): Promise<Prediction[]> {
  const { model, heads, ids } = text;
  const { numLayers } = model.config;
  const exits: { readonly depth: number; readonly confidences: Confidence[] }[] = [];
  let full: Confidence[] = [];
  const depths = heads?.depths ?? [];
  for (const { depth, lens, head } of blocksOf(text, (depth) => depth === numLayers || depths.includes(depth))) {
    if (head !== undefined) exits.push({ depth, confidences: await head() });
    if (depth === numLayers) full = await lens();
  }
  const score = policy?.score ?? "entropy";
  return full.map((answer, i) => ({
    full: guessOf(model, answer),
    agrees: answer.argmax === ids[i],
    exits: exits.map(({ depth, confidences }, exit) => {
      const confidence = confidences[i]!;
      const threshold = policy?.exits[exit]?.threshold ?? "never";
      const value = scoreOf(confidence, score);
      return {
        depth,
        text: textOf(model, confidence.argmax),
        score: value,
        threshold,
        fires: exitFires(value, threshold, score),
        agrees: confidence.argmax === answer.argmax,
      };
    }),
  }));
}

/** The first guesses after one block after the other; between them the caller may stop. */
export async function* lensOf(text: Inspected): AsyncGenerator<LensRow> {
  const guesses = (confidences: readonly Confidence[]): Guess[] =>
    confidences.map((confidence) => guessOf(text.model, confidence));
  for (const { depth, lens, head } of blocksOf(text, (depth) => depth > 0)) {
    yield { depth, lens: guesses(await lens()), head: head && guesses(await head()) };
  }
}

function guessOf(model: Model, { argmax, top1, top2, logSumExp }: Confidence): Guess {
  const confidence = Number.isNaN(logSumExp) ? 1 / (1 + Math.exp(top2 - top1)) : Math.exp(top1 - logSumExp);
  return { text: textOf(model, argmax), confidence };
}

function textOf({ tokenizer }: Model, id: number): string {
  return id < tokenizer.vocabSize ? tokenizer.decode([id], { skipSpecialTokens: false }) : "";
}
