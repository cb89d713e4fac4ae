/** Losses per row of logits and their gradients, see losses.as.ts. */
import type { LossKernels } from "../device.js";
import type { Engine } from "./engine.js";

export function lossKernels(engine: Engine): LossKernels {
  return {
    crossEntropy(logits, targets, rows, width) {
      const loss = engine.allocate(rows);
      engine.shareRows(
        "crossEntropy",
        { z: engine.at(logits), targets: engine.indices(targets), loss: loss.address, n: width },
        rows,
        width,
      );
      return loss;
    },
    crossEntropyBackward(logits, targets, dLoss, rows, width) {
      const dz = engine.allocate(rows * width);
      engine.shareRows(
        "crossEntropyBackward",
        {
          z: engine.at(logits),
          targets: engine.indices(targets),
          dLoss: engine.at(dLoss),
          dz: dz.address,
          n: width,
        },
        rows,
        width,
      );
      return dz;
    },

    kl(teacher, student, rows, width, temperature) {
      const loss = engine.allocate(rows);
      engine.shareRows(
        "kl",
        {
          t: engine.at(teacher),
          s: engine.at(student),
          loss: loss.address,
          n: width,
          factor: 1 / temperature,
        },
        rows,
        width,
      );
      return loss;
    },
    klBackward(teacher, student, dLoss, rows, width, temperature) {
      const ds = engine.allocate(rows * width);
      engine.shareRows(
        "klBackward",
        {
          t: engine.at(teacher),
          s: engine.at(student),
          dLoss: engine.at(dLoss),
          ds: ds.address,
          n: width,
          factor: 1 / temperature,
          work: engine.work(4 * width + 64),
        },
        rows,
        width,
      );
      return ds;
    },
  };
}
