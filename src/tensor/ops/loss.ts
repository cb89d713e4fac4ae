/**
 * Losses per row of logits [.., V] -> [..]. Formulas and gradients: reference/losses.ts. A negative target masks its
 * row: loss 0, gradient 0.
 */
import { requireNumber, ShapeError } from "../../errors.js";
import { record, requireDevice } from "../autograd.js";
import { formatShape, rowsOf, sameShape } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** -log softmax(logits)[target] per row, in nats. */
export function crossEntropy(logits: Tensor, targets: ArrayLike<number>): Tensor {
  const { rows, width } = rowsOf("crossEntropy", logits.shape);
  if (targets.length !== rows) {
    throw new ShapeError(
      "shape-targets",
      `crossEntropy: logits ${formatShape(logits.shape)} need ${rows} targets, found ${targets.length}`,
      { rows, targets: targets.length },
    );
  }
  for (let r = 0; r < rows; r++) {
    const target = targets[r]!;
    if (!Number.isInteger(target) || target >= width) {
      throw new ShapeError(
        "index-range",
        `crossEntropy: target ${target} at row ${r} is not an integer below ${width} (negative masks the row)`,
        { target, width },
      );
    }
  }
  const { device } = logits;
  return record(
    device,
    device.kernels.crossEntropy(logits.storage, targets, rows, width),
    logits.shape.slice(0, -1),
    [logits],
    (dy) => [device.kernels.crossEntropyBackward(logits.storage, targets, dy.storage, rows, width)],
  );
}

/**
 * KL(softmax(teacher/temperature) || softmax(student/temperature)) per row, in nats; only the student receives a
 * gradient.
 */
export function klDivergence(
  teacher: Tensor,
  student: Tensor,
  { temperature = 1 }: { readonly temperature?: number } = {},
): Tensor {
  requireNumber("klDivergence: temperature", temperature, Number.MAX_VALUE, { open: true });
  if (!sameShape(teacher.shape, student.shape)) {
    throw new ShapeError(
      "shape-kl",
      `klDivergence: teacher ${formatShape(teacher.shape)} and student ${formatShape(student.shape)} differ`,
      { teacher: teacher.shape, student: student.shape },
    );
  }
  const { rows, width } = rowsOf("klDivergence", student.shape);
  const { device } = student;
  requireDevice(teacher, device);
  return record(
    device,
    device.kernels.kl(teacher.storage, student.storage, rows, width, temperature),
    student.shape.slice(0, -1),
    [student],
    (dy) => [device.kernels.klBackward(teacher.storage, student.storage, dy.storage, rows, width, temperature)],
  );
}
