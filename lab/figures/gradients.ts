/**
 * The derivative of a head's loss with respect to one of its weights, by autograd and by central differences
 *   (L(w + h) - L(w - h)) / 2h
 * and their distance for steps h of many sizes, in float32 and in float64.
 */
import * as Plot from "@observablehq/plot";
import { add, detach, mul, scale } from "../../src/tensor/ops/arithmetic.js";
import { backward, createReferenceDevice, linear, scope, sub, Tensor } from "early-exits/tensor";
import { mean } from "../../src/tensor/ops/reduce.js";
import { rmsNorm } from "../../src/tensor/ops/norm.js";
import { createTeacher } from "../../src/exits/train/create-teacher.js";
import { headLoss } from "early-exits/exits";
import { machine } from "../report/machine.js";
import { documentsOf, openModel } from "../ship/embedded.js";
import { colors, frame } from "./frame.js";

const POSITIONS = 12;
const DEPTH = 4;

async function errorsOn(float64: boolean): Promise<{ h: number; error: number }[]> {
  const device = createReferenceDevice({ float64 });
  const model = await openModel("sotu-6", device);
  const [text] = await documentsOf("sotu-6", "test");
  const states = model.forward(model.tokenizer.encode(text!).slice(0, POSITIONS), { wanted: () => true });
  const teacher = await createTeacher(model, states.get(model.config.numLayers)!);
  const { finalNorm, unembedding } = model.weights;
  const normed = rmsNorm(states.get(DEPTH)!, finalNorm.gain, model.config.normEpsilon); // [T, C]
  const weight = Tensor.from(device, await unembedding.weight.read(), unembedding.weight.shape, { requiresGrad: true });
  const lossOf = (values: Tensor): Tensor => mean(headLoss(teacher, linear(normed, values), { kind: "kl" }));
  backward(lossOf(weight));
  const all = await weight.grad!.read();
  const steepest = all.reduce((best, value, i) => (Math.abs(value) > Math.abs(all[best]!) ? i : best), 0);
  // Shifts one weight: W + shift · (1 there, 0 elsewhere). Differences are taken on the device, because values that are
  // read back are float32.
  const there = Tensor.from(
    device,
    all.map((_, i) => Number(i === steepest)),
    weight.shape,
  );
  const frozen = detach(weight);
  const shifted = (shift: Tensor): Tensor => lossOf(add(frozen, mul(there, shift)));
  const at = (value: number, requiresGrad = false): Tensor =>
    Tensor.from(device, Float64Array.of(value), [1], { requiresGrad });
  const origin = at(0, true);
  backward(shifted(origin));
  const errors: { h: number; error: number }[] = [];
  for (let power = -9; power <= 0; power += 0.5) {
    const h = 10 ** power;
    const distance = scope(() => sub(scale(sub(shifted(at(h)), shifted(at(-h))), 1 / (2 * h)), origin.grad!));
    errors.push({ h, error: Math.abs((await distance.read())[0]! / all[steepest]!) });
  }
  return errors;
}

export async function gradients(): Promise<string> {
  const where = machine();
  const lines = [
    { label: "float32", color: colors.orange, errors: await errorsOn(false) },
    { label: "float64", color: colors.blue, errors: await errorsOn(true) },
  ];
  return frame({
    title: "Finite differences approach autograd's gradient until rounding drowns them; autograd takes no step at all",
    legend: lines,
    machine: where,
    device: "device reference",
    run:
      `KL loss of a head at depth ${DEPTH} of sotu-6 over ${POSITIONS} positions; the derivative by the weight ` +
      "with the largest one",
    panels: [
      {
        plot: {
          marginLeft: 56,
          x: { type: "log", label: "step h", tickFormat: ".0e", ticks: 6 },
          y: { type: "log", label: "relative distance from autograd's value", tickFormat: ".0e", ticks: 6, grid: true },
          marks: lines.flatMap(({ errors, color }) => [
            Plot.lineY(errors, { x: "h", y: "error", stroke: color, strokeWidth: 2 }),
            Plot.dot(errors, { x: "h", y: "error", fill: color, r: 2.5 }),
          ]),
        },
      },
    ],
  });
}
