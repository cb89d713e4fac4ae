/**
 * LayerNorm (Ba et al. 2016) and RMSNorm (Zhang & Sennrich 2019) over the last axis. Formulas and gradients:
 * reference/rows.ts.
 */
import { ShapeError } from "../../errors.js";
import { record, requireDevice } from "../autograd.js";
import { formatShape, rowsOf } from "../shape.js";
import { Tensor } from "../tensor.js";

/** (x - mean)/√(variance + epsilon) · gain + bias; gain and bias have the size of the last axis. */
export function layerNorm(x: Tensor, gain: Tensor, bias?: Tensor, epsilon = 1e-5): Tensor {
  const { rows, width } = normAxes("layerNorm", x, gain, bias);
  const { device } = x;
  const y = device.kernels.layerNorm(x.storage, gain.storage, bias?.storage, rows, width, epsilon);
  return record(device, y, x.shape, bias ? [x, gain, bias] : [x, gain], (dy) => {
    const { dx, dGain, dBias } = device.kernels.layerNormBackward(
      x.storage,
      gain.storage,
      dy.storage,
      rows,
      width,
      epsilon,
    );
    return [dx, dGain, new Tensor(device, dBias, gain.shape)]; // even without a bias
  });
}

/** x/√(mean of squares + epsilon) · gain. */
export function rmsNorm(x: Tensor, gain: Tensor, epsilon = 1e-5): Tensor {
  return recordRmsNorm(x, gain, normAxes("rmsNorm", x, gain), epsilon);
}

/** `rmsNorm` of every head alone: x [.., H·D], gain [D]. */
export function rmsNormHeads(x: Tensor, gain: Tensor, epsilon = 1e-5): Tensor {
  const { rows, width } = rowsOf("rmsNormHeads", x.shape);
  const heads = width / gain.size;
  if (!Number.isInteger(heads)) requireParameter("rmsNormHeads", x, gain, width);
  requireDevice(gain, x.device);
  return recordRmsNorm(x, gain, { rows: rows * heads, width: gain.size }, epsilon);
}

function recordRmsNorm(
  x: Tensor,
  gain: Tensor,
  { rows, width }: { readonly rows: number; readonly width: number },
  epsilon: number,
): Tensor {
  const { device } = x;
  return record(
    device,
    device.kernels.rmsNorm(x.storage, gain.storage, rows, width, epsilon),
    x.shape,
    [x, gain],
    (dy) => {
      const { dx, dGain } = device.kernels.rmsNormBackward(x.storage, gain.storage, dy.storage, rows, width, epsilon);
      return [dx, dGain];
    },
  );
}

function normAxes(where: string, x: Tensor, gain: Tensor, bias?: Tensor): { rows: number; width: number } {
  const axes = rowsOf(where, x.shape);
  requireParameter(where, x, gain, axes.width);
  if (bias) requireParameter(where, x, bias, axes.width);
  return axes;
}

function requireParameter(where: string, x: Tensor, parameter: Tensor, width: number): void {
  requireDevice(parameter, x.device);
  if (parameter.shape.length === 1 && parameter.shape[0] === width) return;
  throw new ShapeError(
    "shape-norm",
    `${where}: x ${formatShape(x.shape)} needs gain and bias [${width}], found ${formatShape(parameter.shape)}`,
    { x: x.shape, parameter: parameter.shape },
  );
}
