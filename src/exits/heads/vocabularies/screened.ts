/**
 * The model's own unembedding U as `full`, of which only the rows that may be the best are computed: bounds on all
 * logits from the model's coarse copy leave a few candidates (`ScreenedUnembedding`). Argmax and margin have the bits
 * of the full product. A model that does not screen (its device cannot, or its weights are int8), and a vector with too
 * many candidates, take the full product and give the same numbers.
 */
import { bytesOf, project } from "../../../model/index.js";
import { sliceRows } from "../../../tensor/ops/index.js";
import type { Tensor } from "../../../tensor/index.js";
import { type Candidates, readAll, vectorSpace } from "./vector-space.js";
import type { HeadVocabularyDefinition, PackedHead } from "./head-vocabulary-definition.js";

/** The best token and the second, from which the margin follows. */
const NEEDED = 2;

export const screened: HeadVocabularyDefinition = {
  reads: "hidden",
  scores: ["margin"],
  weightShapes: () => ({}),
  initialWeights: () => Promise.resolve({}),
  logits: (h, _weights, model) => project(h, model.weights.unembedding),
  vectors: true,
  space: (_shape, _vocabSize, packed) => vectorSpace(packed, findBest),
  multiplyAdds: ({ hiddenSize, vocabSize }) => hiddenSize * vocabSize,
  modelBytes: (model) => model.screened?.bytes ?? bytesOf(model.weights.unembedding),
};

async function findBest(h: Tensor, { model }: PackedHead): Promise<readonly Candidates[]> {
  const rows = h.shape[0]!;
  const none = Array.from({ length: rows }, () => undefined);
  const found =
    model.screened === undefined
      ? none
      : (
          await model.screened.largest(
            h,
            none.map(() => NEEDED),
          )
        ).rows;
  const candidates: Candidates[] = [];
  for (const [r, row] of found.entries()) candidates.push(row ?? (await allOf(h, r, model)));
  return candidates;
}

/** Every token, for row r of h [R, C]. */
async function allOf(h: Tensor, r: number, model: PackedHead["model"]): Promise<Candidates> {
  const row = sliceRows(h, r, r + 1);
  const logits = await readAll(row, model);
  row.dispose();
  return { ids: Array.from(logits.keys()), logits };
}
