/**
 * The model's own unembedding U, which stays frozen:
 *   U h + b         nothing is stored or trained
 */
import { bytesOf, project } from "../../../model/index.js";
import { scoreNames } from "../score.js";
import type { HeadVocabularyDefinition } from "./head-vocabulary-definition.js";
import { vocabularySpace } from "./vocabulary-space.js";

export const full: HeadVocabularyDefinition = {
  reads: "hidden",
  modelRows: true,
  scores: scoreNames,
  weightShapes: () => ({}),
  initialWeights: () => Promise.resolve({}),
  logits: (h, _weights, model) => project(h, model.weights.unembedding),
  space: () => vocabularySpace,
  multiplyAdds: ({ hiddenSize, vocabSize }) => hiddenSize * vocabSize,
  modelBytes: (model) => bytesOf(model.weights.unembedding),
};
