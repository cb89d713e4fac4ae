/**
 * The predictions of every head and of the full model at every generated token, from one pass over the whole text. With
 * exact fills of keys and values (lazy, shared) they are those of decoding, bit for bit; with other fills they are what
 * the exits would predict if no block had been skipped.
 */
import type { ExitHeads, Policy } from "early-exits";
import { scope, type Tensor } from "early-exits/tensor";
import { type Confidence, exitFires, readConfidences, scoreOf } from "early-exits/exits";
import type { Prediction } from "./protocol.js";

export async function predictionsOf(
  exitHeads: ExitHeads,
  prompt: readonly number[],
  written: readonly number[],
  policy: Policy | undefined,
): Promise<Prediction[]> {
  const { model, heads } = exitHeads;
  const ids = [...prompt, ...written].slice(0, model.config.maxPositionEmbeddings);
  const { numLayers } = model.config;
  const depths = heads.map(({ depth }) => depth);
  const states = scope(() => [
    ...model.forward(ids, { wanted: (depth) => depth === numLayers || depths.includes(depth) }),
  ]);
  const stateAt = new Map(states);
  const confidencesOf = async (
    logitsOf: (state: Tensor) => Tensor | Promise<Tensor>,
    depth: number,
    read: (logits: Tensor) => Promise<Confidence[]>,
  ): Promise<Confidence[]> => {
    const logits = await logitsOf(stateAt.get(depth)!);
    const confidences = await read(logits);
    logits.dispose();
    return confidences;
  };
  const full = await confidencesOf((state) => model.unembed(state), numLayers, readConfidences);
  const exits: Confidence[][] = [];
  for (const head of heads) {
    exits.push(
      await confidencesOf(
        (state) => head.logits(state),
        head.depth,
        (logits) => head.confidences(logits),
      ),
    );
  }
  for (const [, state] of states) state.dispose();

  const text = (id: number): string =>
    id < model.tokenizer.vocabSize ? model.tokenizer.decode([id], { skipSpecialTokens: false }) : "";
  return written.slice(0, ids.length - prompt.length + 1).flatMap((id, i) => {
    const at = prompt.length - 1 + i; // the position that chose this token
    const answer = full[at];
    if (answer === undefined) return [];
    return [
      {
        full: { text: text(answer.argmax), probability: Math.exp(answer.top1 - answer.logSumExp) },
        agrees: answer.argmax === id,
        exits: exits.map((confidences, exit) => {
          const confidence = confidences[at]!;
          const threshold = policy?.exits[exit]?.threshold ?? "never";
          const name = policy?.score ?? "entropy";
          const score = scoreOf(confidence, name);
          return {
            depth: depths[exit]!,
            text: text(confidence.argmax),
            score,
            threshold,
            fires: exitFires(score, threshold, name),
            agrees: confidence.argmax === answer.argmax,
          };
        }),
      },
    ];
  });
}
