/**
 * Fits the learned keys and values of every exit (projection.ts) to the frozen model's own, in closed form. With inputs
 * X [R, I] (the normalised exit states and a column of ones for the bias) and residuals Y [R, N] (the model's keys and
 * values minus those of state propagation),
 *     minimise |Y - X·D|² + λ·Σ XᵀX_ii·|D_i|²      =>      (XᵀX + λ·diag XᵀX)·D = XᵀY
 * Little data or a large λ shrinks the map towards propagation, never towards zero; the bias is not shrunk. Positions
 * (those from a document's `from` on, if it has one) are summed batch by batch: the device computes the products, the
 * host the sums and the solution, in float64.
 */
import { requireNumber } from "../../errors.js";
import { requireOneOf } from "../../known.js";
import type { Document, Model } from "../../model/index.js";
import { keyValueOf } from "../../model/block.js";
import { solveSymmetric } from "../../tensor/cholesky.js";
import { bf16ToFloat32, float32ToBf16 } from "../../tensor/formats/half-floats.js";
import { valuesOf } from "../../tensor/values-of.js";
import { matmul } from "../../tensor/ops/matmul.js";
import { sub } from "../../tensor/ops/arithmetic.js";
import { batchSource, type FitOptions, forBatches, requireFit } from "../states/batches.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { taughtBy } from "../heads/taught.js";
import {
  Projection,
  type ProjectionInput,
  projectionInputs,
  projectionShape,
  skippedLayers,
  unitGain,
  withoutGain,
} from "../heads/projection.js";
import { withOnes } from "./fit-maps.js";
import { giveTurn, inTurns } from "../../turns.js";

interface FitProjectionsOptions extends FitOptions {
  /**
   * Input of the maps: the normalised exit state, or the raw one beside it, a closer fit at twice the multiply-adds.
   * @default "normalized"
   */
  readonly input?: ProjectionInput;
  /** λ, relative to the variance of each input. @default 0.1 */
  readonly ridge?: number;
  /** Weights are rounded to this dtype. @default "float32" */
  readonly dtype?: "float32" | "bfloat16";
}

/**
 * Fits `head.projection` of every head that skips blocks with keys and values of their own. Nothing else changes. If
 * aborted, rejects with the signal's reason and changes nothing.
 *
 * @example
 * ```ts
 * import { attachHeads, fitProjections, generate, createPolicy } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-6");
 * const heads = attachHeads(model, { exits: [2, 4] });
 * await fitProjections(heads, ["The people of the United States", "The state of the Union is strong"]);
 * const policy = createPolicy(heads, "always", { fill: "project" });
 * const run = generate(heads, "The people", { policy, maxNewTokens: 4 });
 * await run.text();
 * console.log(run.summary.meanDepth); // 2
 * ```
 */
export async function fitProjections(
  heads: ExitHeads,
  documents: readonly Document[],
  options: FitProjectionsOptions = {},
): Promise<void> {
  requireFit("fitProjections", heads, options, ["input", "ridge", "dtype"]);
  const { model } = heads;
  const { input = "normalized", positions = 32_768, ridge = 0.1, dtype = "float32", signal } = options;
  requireOneOf("fitProjections: input", input, projectionInputs);
  requireOneOf("fitProjections: dtype", dtype, ["float32", "bfloat16"]);
  requireNumber("fitProjections: ridge", ridge, 1e6, { open: true });
  const fitted = heads.heads
    .filter(({ depth }) => skippedLayers(model.config, depth).length > 0)
    .map((head) => {
      const [rows, columns] = projectionShape(model, head.depth, input);
      return {
        head,
        layers: skippedLayers(model.config, head.depth),
        /** XᵀX [I + 1, I + 1]. */
        gram: new Float64Array((columns + 1) ** 2),
        /** XᵀY [I + 1, N]. */
        moment: new Float64Array((columns + 1) * rows),
      };
    });
  if (fitted.length === 0) return;
  const depths = skippedLayers(model.config, fitted[0]!.head.depth); // states entering every skipped block
  const source = batchSource(model, documents, depths, options);
  const taught = await taughtBy(heads, documents, signal);
  const unit = unitGain(model);
  await forBatches(source, positions, options, async ({ hidden }) => {
    for (const { head, layers, gram, moment } of fitted) {
      const state = hidden.get(head.depth)!; // [R, C]
      const normed = await valuesOf(() => withoutGain(model, state, unit));
      const inputs = withOnes(model, input === "both" ? [normed, await state.read()] : [normed]);
      const columns = inputs.shape[1]!;
      const width = moment.length / columns;
      try {
        add(gram, 0, columns, columns, await valuesOf(() => matmul(inputs, inputs, { transposeA: true })));
        for (const [index, layer] of layers.entries()) {
          if (layer === head.depth) continue; // propagation is exact there, so the residual is zero
          await giveTurn(signal);
          const block = model.weights.blocks[layer]!;
          const product = await valuesOf(() => {
            const own = keyValueOf(hidden.get(layer)!, block, model.config);
            return matmul(inputs, sub(own, keyValueOf(state, block, model.config)), { transposeA: true });
          });
          add(moment, (index * width) / layers.length, width, width / layers.length, product);
        }
      } finally {
        inputs.dispose();
      }
    }
  }).finally(() => {
    unit.dispose();
  });
  const corrections: Float64Array[] = [];
  for (const { gram, moment } of fitted) {
    const n = Math.sqrt(gram.length);
    for (let i = 0; i < n - 1; i++) gram[i * (n + 1)]! += ridge * gram[i * (n + 1)]! + Number.MIN_VALUE;
    corrections.push(await inTurns(solveSymmetric(gram, moment, n), signal));
  }
  for (const [i, { head, layers }] of fitted.entries()) {
    const { weight, bias } = await corrected(model, layers, { input, dtype }, corrections[i]!);
    head.projection?.dispose();
    head.projection = new Projection(model, head.depth, { input, weight, bias });
  }
  heads.taught = taught;
}

/** The map of state propagation plus the correction D [I + 1, N], as weight [N, I] and bias [N]. */
async function corrected(
  model: Model,
  layers: readonly number[],
  { input, dtype }: Required<Pick<FitProjectionsOptions, "input" | "dtype">>,
  correction: Float64Array,
): Promise<Pick<Projection, "weight" | "bias">> {
  const { hiddenSize } = model.config;
  const columns = hiddenSize * (input === "both" ? 2 : 1);
  const rows = correction.length / (columns + 1);
  const weight = new Float32Array(rows * columns);
  const bias = new Float32Array(rows);
  for (const [index, layer] of layers.entries()) {
    const { attentionNorm, keyValue } = model.weights.blocks[layer]!;
    const matrix = await keyValue!.weight.read();
    const gain = await attentionNorm?.gain.read();
    const shift = await attentionNorm?.bias?.read();
    const own = await keyValue!.bias?.read();
    const count = matrix.length / hiddenSize;
    for (let r = 0; r < count; r++) {
      const row = index * count + r;
      let constant = (own?.[r] ?? 0) + correction[columns * rows + row]!;
      for (let c = 0; c < hiddenSize; c++) {
        weight[row * columns + c] = matrix[r * hiddenSize + c]! * (gain?.[c] ?? 1) + correction[c * rows + row]!;
        constant += matrix[r * hiddenSize + c]! * (shift?.[c] ?? 0);
      }
      for (let c = hiddenSize; c < columns; c++) weight[row * columns + c] = correction[c * rows + row]!;
      bias[row] = constant;
    }
  }
  return { weight: dtype === "bfloat16" ? bf16ToFloat32(float32ToBf16(weight)) : weight, bias };
}

/** Adds a product [R, width] into columns [first, first + width) of sums [R, stride]. */
function add(sums: Float64Array, first: number, stride: number, width: number, product: Float32Array): void {
  for (let row = 0; row * width < product.length; row++) {
    for (let c = 0; c < width; c++) sums[row * stride + first + c]! += product[row * width + c]!;
  }
}
