/** Losses. Errors of the exponentials as in rows.ts; a difference of logits is off by a few units of its operands. */
import {
  type AnyLaw,
  each,
  kinds,
  law,
  perRow,
  rowOf,
  rowsIn,
  seeds,
  softmaxOf,
  sum,
  sumUnits,
  UNIT,
  values,
} from "./law.js";
import { between, fc } from "../../support/property.js";
import { times } from "../../support/lists.js";

const lossCases = fc
  .record({
    rows: between(0, 5),
    width: fc.oneof(between(1, 40), fc.constant(501)),
    kind: kinds,
    temperature: fc.constantFrom(1, 2, 0.7),
    seed: seeds,
  })
  .map(({ rows, width, kind, temperature, seed }) => ({
    rows,
    width,
    temperature,
    z: values(seed, "z", rows * width, kind),
    t: values(seed, "t", rows * width, kind),
    dLoss: values(seed, "dLoss", rows),
    targets: times(rows, (r) => ((seed + 31 * r) % (width + 1)) - 1), // -1 masks
  }));
const rows = rowsIn("z", "t", "targets", "dLoss");

export const lossLaws: readonly AnyLaw[] = [
  law({
    kernel: "crossEntropy",
    cases: lossCases,
    rows,
    run: (device, { z, targets, rows, width }) => ({
      loss: device.kernels.crossEntropy(device.upload(z), targets, rows, width),
    }),
    bounds: (c, { expected: { loss }, tolerances }) => ({
      loss: each(c.rows, (r) =>
        c.targets[r]! < 0 ? 0 : (32 + sumUnits(c.width) + tolerances.exp + 4 * Math.abs(loss![r]!)) * UNIT,
      ),
    }),
  }),
  law({
    kernel: "crossEntropyBackward",
    cases: lossCases,
    rows,
    run: (device, { z, targets, dLoss, rows, width }) => ({
      dz: device.kernels.crossEntropyBackward(device.upload(z), targets, device.upload(dLoss), rows, width),
    }),
    bounds: (c, { tolerances }) => ({
      dz: perRow(c.z, c.rows, (z, r) => {
        const { p, d } = softmaxOf(z);
        const scale = c.targets[r]! < 0 ? 0 : Math.abs(c.dLoss[r]!);
        return each(
          z.length,
          (i) => scale * UNIT * ((32 + sumUnits(c.width) + 2 * tolerances.exp + 2 * Math.abs(d[i]!)) * p[i]! + 4),
        );
      }),
    }),
  }),
  law({
    kernel: "kl",
    cases: lossCases,
    rows,
    run: (device, { t, z, rows, width, temperature }) => ({
      loss: device.kernels.kl(device.upload(t), device.upload(z), rows, width, temperature),
    }),
    bounds: (c, { tolerances: { exp } }) => ({
      loss: each(c.rows, (r) => {
        const teacher = softmaxOf(rowOf(c.t, r, c.rows), c.temperature);
        const student = softmaxOf(rowOf(c.z, r, c.rows), c.temperature);
        const terms = sum(teacher.p, (p, i) => {
          const dt = Math.abs(teacher.d[i]!);
          const ds = Math.abs(student.d[i]!);
          return p * ((exp + 8 + 4 * dt) * Math.abs(teacher.d[i]! - student.d[i]!) + 8 * (dt + ds));
        });
        const logs =
          64 +
          2 * sumUnits(c.width) +
          2 * exp +
          8 * sum(teacher.p, (p, i) => p * Math.abs(teacher.d[i]!)) +
          8 * sum(student.p, (p, i) => p * Math.abs(student.d[i]!));
        return UNIT * (terms + logs);
      }),
    }),
  }),
  law({
    kernel: "klBackward",
    cases: lossCases,
    rows,
    run: (device, { t, z, dLoss, rows, width, temperature }) => ({
      ds: device.kernels.klBackward(device.upload(t), device.upload(z), device.upload(dLoss), rows, width, temperature),
    }),
    bounds: (c, { tolerances: { exp } }) => ({
      ds: perRow(c.z, c.rows, (z, r) => {
        const teacher = softmaxOf(rowOf(c.t, r, c.rows), c.temperature);
        const student = softmaxOf(z, c.temperature);
        const part = ({ p, d }: typeof teacher, i: number) =>
          (32 + sumUnits(c.width) + 2 * exp + 4 * Math.abs(d[i]!)) * p[i]!;
        return each(
          z.length,
          (i) => (Math.abs(c.dLoss[r]!) / c.temperature) * UNIT * (part(teacher, i) + part(student, i)),
        );
      }),
    }),
  }),
];
