/**
 * The gradients of one batch, a part of its rows at a time: the teacher's logits, then each head's forward and backward
 * pass. Memory is that of a part, and the event loop gets its turns.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { requireInteger, requireNumber } from "../../errors.js";
import { requireKnown, requireOneOf } from "../../known.js";
import type { Model } from "../../model/index.js";
import { backward, type Rng, scope, type Tensor } from "../../tensor/index.js";
import { add, mul, scale } from "../../tensor/ops/arithmetic.js";
import { crossEntropy, klDivergence } from "../../tensor/ops/loss.js";
import { argmax, sum } from "../../tensor/ops/reduce.js";
import { reshape, sliceRows, takeAlongRows } from "../../tensor/ops/select.js";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.js";
import { giveTurn, rowsPerTurn } from "../../turns.js";
import type { ExitHead } from "../heads/exit-head.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { type BatchSource, type HiddenBatch, statesAt } from "../states/batches.js";
import { outcomeOf } from "../states/record-states.js";
import { createTeacher, type Teacher } from "./create-teacher.js";
import { type ExitQuality, measureExits, type MeasureOptions } from "./measure-exits.js";
import { type RestWeights, type TrainingList, trainingList } from "./training-list.js";

/** Logits of one head in memory at once. */
const LOGITS = 2 ** 23;

export interface StudentStep {
  /** Mean over positions, nats. */
  readonly loss: number;
  /** Share of positions at which its argmax is the teacher's. */
  readonly agreement: number;
}

// Losses for training heads on the frozen model's own predictions. With teacher logits t and head logits s, one loss
// per position:
//   kl (v2, default)   KL(softmax(t/T) || softmax(s/T)), optionally over the teacher's k most likely tokens, with both
//                      sides renormalised. T below 1 stresses the most likely token, which is the one an exit emits;
//                      the head's logits keep the teacher's scale
//   penalized (v1)     (1-w)·CE(s, argmax t) - w·H(softmax(s)). The entropy reward flattens heads on purpose, so that
//                      the margin of the logits, not the probability, becomes the usable score

export type HeadLoss =
  | {
      readonly kind: "kl";
      /** @default 1 */ readonly temperature?: number;
      /**
       * Only the teacher's k most likely tokens, two or more, and at most as many as a `list` has; 0: all.
       * @default 0
       */
      readonly topK?: number;
    }
  | { readonly kind: "penalized"; /** w in [0, 1]. @default 0.9 */ readonly weight?: number };

const headLossDefaults = { temperature: 1, topK: 0, weight: 0.9 } as const;

/** Throws an OptionError for an option that does not exist or is out of range, given how many tokens are compared. */
export function checkLoss(loss: HeadLoss, compared: number): void {
  requireOneOf("loss: kind", loss.kind, ["kl", "penalized"]);
  requireKnown("loss", loss, loss.kind === "kl" ? ["kind", "temperature", "topK"] : ["kind", "weight"]);
  if (loss.kind === "kl") {
    requireNumber("loss: temperature", loss.temperature ?? headLossDefaults.temperature, 1e6, { open: true });
    const { topK = headLossDefaults.topK } = loss;
    // One token alone has probability 1 on both sides, so nothing is learned.
    if (topK !== 0) requireInteger("loss: topK (0: all)", topK, 2, compared);
  } else requireNumber("loss: weight", loss.weight ?? headLossDefaults.weight, 1);
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

interface TrainBatchOptions {
  readonly loss: HeadLoss;
  /** Draws unlisted tokens. */
  readonly rng: Rng;
  readonly signal?: CancelSignal | undefined;
}

// Heads under training: the tokens that each one's loss compares, and the teacher over them. Linear heads share one
// list, its rows and its teacher; dense ones learn from the whole vocabulary.

/** A head's logits, and what the loss compares them with. */
interface Student {
  readonly head: ExitHead;
  /** The compared tokens; undefined for the whole vocabulary. */
  readonly list: TrainingList | undefined;
  /** Of the rest's logit, if there is a list. */
  readonly rest: RestWeights | undefined;
}

type Students = Awaited<ReturnType<typeof createStudents>>;

/** Heads with a map are trained on the list, if given; a preview of the model's unembedding is left out. */
export async function createStudents(
  { model, heads }: Pick<ExitHeads, "model" | "heads">,
  listed: readonly number[] | undefined,
) {
  const trained = heads.filter(({ shape }) => shape.kind !== "preview");
  const used = listed !== undefined && trained.some(({ shape }) => shape.kind !== "dense");
  const list = used ? await trainingList(model, listed, { drawn: listed.length >> 3 }) : undefined;
  const all = trained.map((head): Student => {
    const own = head.shape.kind === "dense" ? undefined : list;
    return { head, list: own, rest: own?.createRest() };
  });
  const parameters = all.flatMap(({ rest }) => (rest === undefined ? [] : [rest.row, rest.bias]));
  return {
    all,
    list,
    parameters,
    dispose() {
      for (const tensor of parameters) tensor.dispose();
      list?.dispose();
    },
  };
}

/** Heads with a logit for the rest on their list, others as they decode. */
export function measureStudents(
  heads: ExitHeads,
  { all, list }: Students,
  held: BatchSource,
  options: MeasureOptions,
): Promise<ExitQuality[]> {
  if (list === undefined) return measureExits(heads, held, options);
  const logits = (head: ExitHead, states: Tensor): Tensor | undefined => {
    const rest = all.find((student) => student.head === head)?.rest;
    return rest && list.logits(head.vectors!(states), rest);
  };
  return measureExits(heads, held, { ...options, list: { ids: list.ids, logits } });
}

/** Adds the batch's gradient of the mean loss (over positions and students). An abort drops the step's gradients. */
export async function trainBatch(
  model: Model,
  students: Students,
  batch: HiddenBatch,
  { loss, rng, signal }: TrainBatchOptions,
): Promise<StudentStep[]> {
  const { rows, final } = batch;
  const { list } = students;
  const recorded = list === undefined ? undefined : (batch.outcome ?? (await outcomeOf(model, final, { signal })));
  await list?.redraw(rng, recorded!.argmax);

  const width = Math.max(...students.all.map(({ list }) => list?.buckets ?? model.config.vocabSize));
  const most = Math.max(1, Math.min(Math.floor(LOGITS / width), rowsPerTurn(width * model.config.hiddenSize)));
  const topK = loss.kind === "kl" ? (loss.topK ?? headLossDefaults.topK) : 0;
  const totals = students.all.map(() => ({ loss: 0, agreed: 0 }));
  for (let begin = 0; begin < rows; begin += most) {
    await giveTurn(signal);
    const end = Math.min(begin + most, rows);
    const states = sliceRows(final, begin, end);
    // Over the list, and over the vocabulary (undefined) if a head needs it.
    const teachers = new Map<TrainingList | undefined, Teacher>();
    try {
      if (list !== undefined) {
        const [argmax, logSumExp] = [recorded!.argmax.subarray(begin, end), recorded!.logSumExp.subarray(begin, end)];
        teachers.set(list, await list.teacher(states, { argmax, logSumExp }, { topK }));
      }
      if (students.all.some((student) => student.list === undefined)) {
        teachers.set(undefined, await createTeacher(model, states, { topK }));
      }
      for (const [i, student] of students.all.entries()) {
        await giveTurn(signal);
        const share = 1 / (students.all.length * rows);
        const teacher = teachers.get(student.list)!;
        const part = await trainPart(student, batch, { begin, end, teacher, loss, share });
        totals[i]!.loss += part.loss;
        totals[i]!.agreed += part.agreed;
      }
    } finally {
      states.dispose();
      for (const teacher of teachers.values()) teacher.logits.dispose();
    }
  }
  return totals.map((total) => ({ loss: total.loss / rows, agreement: total.agreed / rows }));
}

interface TrainPartOptions {
  /** Rows [begin, end) of the batch. */
  readonly begin: number;
  readonly end: number;
  readonly teacher: Teacher;
  readonly loss: HeadLoss;
  readonly share: number;
}

/** Adds the gradient of `share` times the loss at these rows. Returns sums over the rows. */
async function trainPart(
  { head, list, rest }: Student,
  batch: HiddenBatch,
  { begin, end, teacher, loss, share }: TrainPartOptions,
): Promise<{ readonly loss: number; readonly agreed: number }> {
  const { partLoss, logits } = scope(() => {
    const inputs = sliceRows(statesAt(batch, head, "trainHeads"), begin, end);
    const logits = rest === undefined ? head.trainingLogits(inputs) : list!.logits(head.vectors!(inputs), rest);
    const partLoss = sum(headLoss(teacher, logits, loss));
    backward(scale(partLoss, share));
    return { partLoss, logits };
  });
  const best = await argmax(logits);
  const [total] = await partLoss.read();
  partLoss.dispose();
  logits.dispose();
  const agrees = (column: number, r: number): boolean => {
    const target = teacher.argmax[r]!;
    return list === undefined ? column === target : list.agrees(column, target);
  };
  return { loss: total!, agreed: best.filter(agrees).length };
}
