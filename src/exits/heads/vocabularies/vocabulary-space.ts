/** Logits [R, V] with one column per token of the vocabulary: the output space of every vocabulary without a list. */
import { crossEntropy } from "../../../tensor/ops/index.js";
import { readStats } from "../score.js";
import type { OutputSpace } from "./head-vocabulary-definition.js";

export const vocabularySpace: OutputSpace = {
  readStats,
  readLogits: (logits) => logits.read(),
  losses: crossEntropy,
  targetOf: (teacher) => Promise.resolve(teacher),
  agrees: (column, target) => column === target,
};
