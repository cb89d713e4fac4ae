/** Losses per row of logits and their gradients, see losses.as.ts. */
import type { Kernels } from "../device.js";
import type { Engine } from "./engine.js";

export function lossKernels(engine: Engine): Pick<Kernels, "crossEntropy" | "crossEntropyBackward" | "kl" | "klBackward"> {
  const { wasm } = engine;

  return {
    crossEntropy(logits, targets, rows, width) {
      const loss = engine.allocate(rows);
      wasm.crossEntropy(engine.at(logits), engine.indices(targets), loss.address, width, 0, rows);
      return loss;
    },
    crossEntropyBackward(logits, targets, dLoss, rows, width) {
      const dz = engine.allocate(rows * width);
      wasm.crossEntropyBackward(engine.at(logits), engine.indices(targets), engine.at(dLoss), dz.address, width, 0, rows);
      return dz;
    },

    kl(teacher, student, rows, width, temperature) {
      const loss = engine.allocate(rows);
      wasm.kl(engine.at(teacher), engine.at(student), loss.address, width, 1 / temperature, 0, rows);
      return loss;
    },
    klBackward(teacher, student, dLoss, rows, width, temperature) {
      const ds = engine.allocate(rows * width);
      wasm.klBackward(engine.at(teacher), engine.at(student), engine.at(dLoss), ds.address, width, 1 / temperature, engine.work(4 * width + 64), 0, rows);
      return ds;
    },
  };
}
