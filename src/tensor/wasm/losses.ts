/** Losses per row of logits and their gradients, see losses.as.ts. */
import type { Kernels } from "../device.js";
import type { Engine } from "./engine.js";

/** Rough speed of one thread, for sharing: elements a microsecond. */
const PER_US = { crossEntropy: 1000, crossEntropyBackward: 700, kl: 300, klBackward: 300 } as const;

export function lossKernels(
  engine: Engine,
): Pick<Kernels, "crossEntropy" | "crossEntropyBackward" | "kl" | "klBackward"> {
  return {
    crossEntropy(logits, targets, rows, width) {
      const loss = engine.allocate(rows);
      engine.share(
        "crossEntropy",
        [engine.at(logits), engine.indices(targets), loss.address, width, 0, rows],
        (rows * width) / PER_US.crossEntropy,
      );
      return loss;
    },
    crossEntropyBackward(logits, targets, dLoss, rows, width) {
      const dz = engine.allocate(rows * width);
      engine.share(
        "crossEntropyBackward",
        [engine.at(logits), engine.indices(targets), engine.at(dLoss), dz.address, width, 0, rows],
        (rows * width) / PER_US.crossEntropyBackward,
      );
      return dz;
    },

    kl(teacher, student, rows, width, temperature) {
      const loss = engine.allocate(rows);
      engine.share(
        "kl",
        [engine.at(teacher), engine.at(student), loss.address, width, 1 / temperature, 0, rows],
        (rows * width) / PER_US.kl,
      );
      return loss;
    },
    klBackward(teacher, student, dLoss, rows, width, temperature) {
      const ds = engine.allocate(rows * width);
      engine.share(
        "klBackward",
        [
          engine.at(teacher),
          engine.at(student),
          engine.at(dLoss),
          ds.address,
          width,
          1 / temperature,
          engine.work(4 * width + 64),
          0,
          rows,
        ],
        (rows * width) / PER_US.klBackward,
      );
      return ds;
    },
  };
}
