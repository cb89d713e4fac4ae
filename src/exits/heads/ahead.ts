/**
 * A head that looks one token ahead. The full model has just chosen the token x after position t; from the states at t
 * and x, the head guesses the final state at t + 1, and so the token after x (EAGLE, Li et al. 2024, read as an exit at
 * depth L):
 *   z = [u(s₁); …; u(s_k); u(e(x))]        states at t after k depths, the last of them L, and the embedding of x
 *   y = A z + a + D gelu(B z′ + b)         z′ [2C]: u(s_k) and u(e(x)); D begins as zero
 *   logits = U (g ⊙ y + β)                 or those that a preview finds (unembedding-preview.ts)
 * u divides by the root mean square. A begins as the ridge regression of u(final state at t + 1) on z (fit-maps.ts);
 * training tunes all. It needs no keys and values. A wrong guess costs time and changes no text, so its matrices are
 * int8 whatever the model's dtype.
 */
import type { Model } from "../../model/index.js";
import { createRng, Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { gelu } from "../../tensor/ops/activation.js";
import { embedding } from "../../tensor/ops/embedding.js";
import { linear } from "../../tensor/ops/matmul.js";
import { columns } from "../../tensor/ops/select.js";
import type { HeadParts } from "./exit-head.js";
import { type HeadShape, weightShapes } from "./head-shape.js";
import { gained, initialNorm, type Tensors } from "./head-weights.js";

export function aheadHead(model: Model, shape: HeadShape): HeadParts {
  const c = model.config.hiddenSize;
  return {
    fresh: () => untrained(model, shape),
    maps: {
      vectors(z, w) {
        const width = z.shape[1]!;
        const inner = gelu(linear(columns(z, width - 2 * c, width), w["up"]!, { bias: w["upBias"] as Tensor }));
        const mapped = linear(z, w["map"]!, { bias: w["mapBias"] as Tensor });
        return gained(linear(inner, w["down"]!, { residual: mapped }), w);
      },
    },
    dtype: "int8",
  };
}

/** Repeats the final state, until the map is fitted. */
function untrained(model: Model, shape: HeadShape): Tensors {
  const c = model.config.hiddenSize;
  const rng = createRng(0);
  const filled = (name: string, value: (i: number) => number): Tensor => {
    const size = weightShapes(model, shape)[name]!;
    const values = Float32Array.from({ length: size.reduce((a, b) => a * b) }, (_, i) => value(i));
    return Tensor.from(model.device, values, size, { requiresGrad: true });
  };
  const width = (shape.inputs!.length + 1) * c;
  const spread = Math.sqrt(1 / (2 * c));
  return {
    ...initialNorm(model),
    map: filled("map", (i) => Number((i % width) - (width - 2 * c) === Math.floor(i / width))),
    mapBias: filled("mapBias", () => 0),
    up: filled("up", () => spread * rng.normal()),
    upBias: filled("upBias", () => 0),
    down: filled("down", () => 0),
  };
}

/** u(states) by depth [R·C], and the token that follows each row: inputs [R, (k + 1)·C]. */
export async function aheadInputs(
  model: Model,
  states: readonly Float32Array[],
  next: readonly number[],
): Promise<Float32Array> {
  const c = model.config.hiddenSize;
  const parts = [...states, await valuesOf(() => embedding(model.weights.embedding, next))];
  const inputs = new Float32Array(next.length * parts.length * c);
  for (let r = 0; r < next.length; r++) {
    for (const [k, part] of parts.entries()) {
      putDivided(inputs, (r * parts.length + k) * c, part.subarray(r * c, (r + 1) * c));
    }
  }
  return inputs;
}

/** Divides values by their root mean square. */
function putDivided(into: Float32Array, at: number, values: Float32Array): void {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += values[i]! * values[i]!; // (three times as fast as for ... of)
  const factor = squares === 0 ? 0 : 1 / Math.sqrt(squares / values.length);
  for (let i = 0; i < values.length; i++) into[at + i] = factor * values[i]!;
}
