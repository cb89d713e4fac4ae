/** Losses per row of logits and their gradients, see losses.as.ts. */
import type { LossKernels } from "../device.js";
import type { Engine } from "./engine.js";

/** Rough speed of one thread, for sharing: elements per microsecond. */
const PER_US = { crossEntropy: 1000, crossEntropyBackward: 700, kl: 300, klBackward: 300 } as const;

export function lossKernels(engine: Engine): LossKernels {
  return {
    crossEntropy(logits, targets, rows, width) {
      const loss = engine.allocate(rows);
      engine.share(
        "crossEntropy",
        { z: engine.at(logits), targets: engine.indices(targets), loss: loss.address, n: width },
        { items: rows, us: (rows * width) / PER_US.crossEntropy },
      );
      return loss;
    },
    crossEntropyBackward(logits, targets, dLoss, rows, width) {
      const dz = engine.allocate(rows * width);
      engine.share(
        "crossEntropyBackward",
        {
          z: engine.at(logits),
          targets: engine.indices(targets),
          dLoss: engine.at(dLoss),
          dz: dz.address,
          n: width,
        },
        { items: rows, us: (rows * width) / PER_US.crossEntropyBackward },
      );
      return dz;
    },

    kl(teacher, student, rows, width, temperature) {
      const loss = engine.allocate(rows);
      engine.share(
        "kl",
        {
          t: engine.at(teacher),
          s: engine.at(student),
          loss: loss.address,
          n: width,
          factor: 1 / temperature,
        },
        { items: rows, us: (rows * width) / PER_US.kl },
      );
      return loss;
    },
    klBackward(teacher, student, dLoss, rows, width, temperature) {
      const ds = engine.allocate(rows * width);
      engine.share(
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
        { items: rows, us: (rows * width) / PER_US.klBackward },
      );
      return ds;
    },
  };
}
