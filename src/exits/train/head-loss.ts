/**
 * Losses for training heads on the frozen model's own predictions. With teacher logits t and head logits s, one loss
 * per position:
 *   kl (v2, default)   KL(softmax(t/T) || softmax(s/T)), optionally over the teacher's k most likely tokens, with both
 *                      sides renormalised. T below 1 stresses the most likely token, which is the one an exit emits;
 *                      the head's logits keep the teacher's scale
 *   penalized (v1)     (1-w)·CE(s, argmax t) - w·H(softmax(s)). The entropy reward flattens heads on purpose, so that
 *                      the margin of the logits, not the probability, becomes the usable score
 */
import { requireInteger, requireNumber } from "../../errors.js";
import { add, mul, scale } from "../../tensor/ops/arithmetic.js";
import { crossEntropy, klDivergence } from "../../tensor/ops/loss.js";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.js";
import { reshape, takeAlongRows } from "../../tensor/ops/select.js";
import { sum } from "../../tensor/ops/reduce.js";
import type { Tensor } from "../../tensor/index.js";
import type { Teacher } from "./create-teacher.js";

export type HeadLoss =
  | {
      readonly kind: "kl";
      /** @default 1 */ readonly temperature?: number;
      /** Only the teacher's k most likely tokens; 0: all. @default 0 */ readonly topK?: number;
    }
  | { readonly kind: "penalized"; /** w in [0, 1]. @default 0.9 */ readonly weight?: number };

export const headLossDefaults = { temperature: 1, topK: 0, weight: 0.9 } as const;

/** Throws an OptionError for an option out of range. */
export function checkLoss(loss: HeadLoss, vocabSize: number): void {
  if (loss.kind === "kl") {
    requireNumber("loss: temperature", loss.temperature ?? headLossDefaults.temperature, 0, 1e6, { open: true });
    requireInteger("loss: topK", loss.topK ?? headLossDefaults.topK, 0, vocabSize);
  } else requireNumber("loss: weight", loss.weight ?? headLossDefaults.weight, 0, 1);
}

/** Losses [R] of logits [R, V]; differentiable in the head's logits. */
export function headLoss(teacher: Teacher, student: Tensor, loss: HeadLoss): Tensor {
  if (loss.kind === "penalized") {
    const { weight = headLossDefaults.weight } = loss;
    const rows = teacher.argmax.length;
    // [R, V] -> [R]
    const negativeEntropy = reshape(sum(mul(softmax(student), logSoftmax(student)), { axis: -1 }), [rows]);
    return add(scale(crossEntropy(student, teacher.argmax), 1 - weight), scale(negativeEntropy, weight));
  }
  const { temperature = headLossDefaults.temperature, topK = headLossDefaults.topK } = loss;
  if (topK === 0) return klDivergence(teacher.logits, student, { temperature });
  return klDivergence(
    takeAlongRows(teacher.logits, teacher.topIds, topK),
    takeAlongRows(student, teacher.topIds, topK),
    { temperature },
  );
}
