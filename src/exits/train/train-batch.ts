/**
 * The gradients of one batch, a part of its rows at a time: the teacher's logits, then each head's forward and backward
 * pass. Memory is that of a part, and the event loop gets its turns.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import type { Model } from "../../model/index.js";
import { backward, type Rng, scope } from "../../tensor/index.js";
import { argmax, sum } from "../../tensor/ops/reduce.js";
import { scale } from "../../tensor/ops/arithmetic.js";
import { sliceRows } from "../../tensor/ops/select.js";
import { giveTurn, rowsPerTurn } from "../../turns.js";
import { type HiddenBatch, statesAt } from "../states/batches.js";
import { outcomeOf } from "../states/record-states.js";
import type { Teacher } from "./create-teacher.js";
import { headLoss, type HeadLoss } from "./head-loss.js";
import { createTeachers, type Student, type Students } from "./students.js";

/** Logits of one head in memory at once. */
const LOGITS = 2 ** 23;

export interface StudentStep {
  /** Mean over positions, nats. */
  readonly loss: number;
  /** Share of positions at which its argmax is the teacher's. */
  readonly agreement: number;
}

interface TrainBatchOptions {
  readonly loss: HeadLoss;
  /** Draws unlisted tokens. */
  readonly rng: Rng;
  readonly signal?: CancelSignal | undefined;
}

/** [begin, end). */
interface Range {
  readonly begin: number;
  readonly end: number;
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
  const totals = students.all.map(() => ({ loss: 0, agreed: 0 }));
  for (let begin = 0; begin < rows; begin += most) {
    await giveTurn(signal);
    const range = { begin, end: Math.min(begin + most, rows) };
    const states = sliceRows(final, range.begin, range.end);
    const teachers = await createTeachers(model, students, states, {
      loss,
      recorded: recorded && {
        argmax: recorded.argmax.subarray(range.begin, range.end),
        logSumExp: recorded.logSumExp.subarray(range.begin, range.end),
      },
    }).finally(() => {
      states.dispose();
    });
    try {
      for (const [i, student] of students.all.entries()) {
        await giveTurn(signal);
        const share = 1 / (students.all.length * rows);
        const part = await trainPart(student, batch, range, { teacher: teachers.get(student.list)!, loss, share });
        totals[i]!.loss += part.loss;
        totals[i]!.agreed += part.agreed;
      }
    } finally {
      for (const teacher of teachers.values()) teacher.logits.dispose();
    }
  }
  return totals.map((total) => ({ loss: total.loss / rows, agreement: total.agreed / rows }));
}

/** Adds the gradient of `share` times the loss at these rows. Returns sums over the rows. */
async function trainPart(
  { head, list, rest }: Student,
  batch: HiddenBatch,
  { begin, end }: Range,
  { teacher, loss, share }: { readonly teacher: Teacher; readonly loss: HeadLoss; readonly share: number },
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
