/**
 * Reverse-mode differentiation. Every op records how a gradient flows back (`GradientNode`); `backward` walks the
 * records once, from the loss to the parameters:
 *   dL/dinput = Σ over uses of dL/doutput · doutput/dinput
 * Nothing is recorded if no input requires a gradient: a frozen backbone costs no memory.
 */
import { DeviceError, ShapeError } from "../errors.js";
import type { Device, Storage } from "./device.js";
import { formatShape, type Shape, sizeOf } from "./shape.js";
import { keep, Tensor } from "./tensor.js";
import { atOnce, type InParts } from "../turns.js";

/** Maps the gradient of a result to those of its inputs, in order; undefined if an input needs none. */
type Backward = (gradient: Tensor) => readonly (Tensor | Storage | undefined)[];

/** Wraps a kernel's result; records `backward` if any input requires a gradient. */
export function record(
  device: Device,
  storage: Storage,
  shape: Shape,
  inputs: readonly Tensor[],
  backward: Backward,
): Tensor {
  for (const input of inputs) requireDevice(input, device);
  if (!inputs.some((input) => input.requiresGrad)) return new Tensor(device, storage, shape);
  const tensors = (gradient: Tensor): (Tensor | undefined)[] =>
    backward(gradient).map((flow, i) =>
      flow === undefined || flow instanceof Tensor ? flow : new Tensor(device, flow, inputs[i]!.shape),
    );
  return new Tensor(device, storage, shape, true, { inputs, backward: tensors });
}

/** Adds dL/dp to `p.grad` for every leaf p that requires it. `loss` has one element. */
export function backward(loss: Tensor): void {
  atOnce(backwardInParts(loss));
}

/** As `backward`, one op after another. If given up, some leaves lack their part. */
export function* backwardInParts(loss: Tensor): InParts<void> {
  if (sizeOf(loss.shape) !== 1) {
    throw new ShapeError(
      "shape-scalar",
      `backward: expected a loss of one element, found ${formatShape(loss.shape)}; sum or average it first`,
      { shape: loss.shape },
    );
  }
  const { device } = loss;
  const gradients = new Map<Tensor, Tensor>([[loss, Tensor.from(device, [1], loss.shape)]]);
  const owned = new Set<Tensor>(); // gradients that became some leaf's own
  for (const tensor of topologicalOrder(loss)) {
    const gradient = gradients.get(tensor);
    if (gradient === undefined || !tensor.requiresGrad) continue;
    if (tensor.node === undefined) {
      accumulateLeaf(tensor, gradient, owned);
      continue;
    }
    yield;
    const flows = tensor.node.backward(gradient);
    tensor.node.inputs.forEach((input, index) => {
      const flow = flows[index];
      if (flow === undefined || !input.requiresGrad) return;
      const sum = gradients.get(input);
      gradients.set(input, sum === undefined ? flow : addSameShape(sum, flow));
    });
  }
}

export function requireDevice(tensor: { readonly device: Device }, device: Device): void {
  if (tensor.device !== device) {
    throw new DeviceError(
      "device-mixed",
      `one operation was given tensors of two devices (${tensor.device.backend}, ${device.backend}); ` +
        "read one and upload it to the other",
    );
  }
}

/** Consumers before producers. Iterative: graphs are deep. */
function topologicalOrder(root: Tensor): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>([root]);
  const stack: { tensor: Tensor; next: number }[] = [{ tensor: root, next: 0 }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const input = top.tensor.node?.inputs[top.next++];
    if (input === undefined) {
      order.push(top.tensor);
      stack.pop();
    } else if (input.requiresGrad && !seen.has(input)) {
      seen.add(input);
      stack.push({ tensor: input, next: 0 });
    }
  }
  return order.reverse();
}

/** A leaf owns its gradient (the optimizer frees it), so one that flowed to two leaves is copied for the second. */
function accumulateLeaf(leaf: Tensor, gradient: Tensor, owned: Set<Tensor>): void {
  const before = leaf.grad;
  if (before !== undefined) leaf.grad = keep(addSameShape(before, gradient));
  else leaf.grad = keep(owned.has(gradient) ? copyOf(gradient) : gradient);
  owned.add(leaf.grad);
  before?.dispose();
}

export function copyOf({ device, storage, size, shape }: Tensor, as = shape): Tensor {
  return new Tensor(device, device.kernels.slice(storage, 0, size), as);
}

function addSameShape(a: Tensor, b: Tensor): Tensor {
  const unit = [1];
  return new Tensor(a.device, a.device.kernels.binary("add", a.storage, b.storage, [a.size], unit, unit), a.shape);
}
