/**
 * Fits the maps of linear heads in closed form: ridge regression of the normalised final state on the normalised state
 * at the head's depth, both without the norm's gain. On a pretrained model, training finds no good head without this
 * start. That of a look-ahead head is fitted to the final state of the next position.
 *
 * Left out are the first positions of every text, an attention sink: states of enormous norm in few dimensions.
 */
import { requireNumber } from "../../errors.js";
import { normalize } from "../../model/block.js";
import type { Document, Model } from "../../model/index.js";
import { solveSymmetric } from "../../tensor/cholesky.js";
import { scope, Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { matmul } from "../../tensor/ops/matmul.js";
import { giveTurn, type InParts, inTurns } from "../../turns.js";
import type { ExitHead } from "../heads/exit-head.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { taughtBy } from "../heads/taught.js";
import { mapTensors } from "../heads/linear.js";
import { unitGain } from "../heads/projection.js";
import {
  type BatchSource,
  batchSource,
  type FitOptions,
  forBatches,
  type HiddenBatch,
  aheadBatch,
  disposeBatch,
  requireFit,
  SINK_POSITIONS,
  statesAt,
  takeRows,
} from "../states/batches.js";

interface FitMapsOptions extends FitOptions {
  /** λ, relative to the mean square of the inputs. @default 1e-3 */
  readonly ridge?: number;
}

/** y ≈ weight·x + bias. */
export interface AffineFit {
  /** [N, K], row-major. */
  readonly weight: Float32Array;
  /** [N]. */
  readonly bias: Float32Array;
}

/**
 * Normal equations of N targets on K inputs: XᵀX [K + 1, K + 1] and XᵀY [K + 1, N], in float64, for inputs with a
 * column of ones last (the bias) and targets Y [R, N]. Memory does not grow with the rows that are summed.
 */
interface NormalEquations {
  readonly gram: Float64Array;
  readonly moment: Float64Array;
}

/**
 * Minimises |Y - X·D|² + λ·m·Σ |D_i|² over D, by (XᵀX + λm·I)·D = XᵀY. The sum is over the K inputs, and m is the mean
 * of their diag XᵀX: the bias is not shrunk. Throws a ShapeError if λ is 0 and the rows do not determine the map.
 */
export function* solveRidge({ gram, moment }: NormalEquations, ridge: number): InParts<AffineFit> {
  const n = Math.sqrt(gram.length);
  const inputs = n - 1;
  const outputs = moment.length / n;
  const a = Float64Array.from(gram);
  let trace = 0;
  for (let i = 0; i < inputs; i++) trace += a[i * (n + 1)]!;
  for (let i = 0; i < inputs; i++) a[i * (n + 1)]! += (ridge * trace) / inputs;
  const solution = yield* solveSymmetric(a, moment, n); // [K + 1, N]
  const weight = new Float32Array(outputs * inputs);
  for (let k = 0; k < inputs; k++) {
    for (let o = 0; o < outputs; o++) weight[o * inputs + k] = solution[k * outputs + o]!;
  }
  return { weight, bias: Float32Array.from(solution.subarray(inputs * outputs)) };
}

/**
 * Fits the maps of all linear heads, and that of the look-ahead head, in one pass, on documents or recorded states.
 * Nothing else changes. If aborted, rejects with the signal's reason and changes nothing.
 */
export async function fitMaps(
  heads: ExitHeads,
  data: readonly Document[] | BatchSource,
  options: FitMapsOptions = {},
): Promise<void> {
  requireFit("fitMaps", heads, options, ["ridge"]);
  const { model } = heads;
  const { hiddenSize } = model.config;
  const { positions = 65_536, ridge = 1e-3, signal } = options;
  requireNumber("fitMaps: ridge", ridge, 1e6);
  const fitOf = (head: ExitHead, width: number) => ({
    head,
    sums: { gram: new Float64Array((width + 1) ** 2), moment: new Float64Array((width + 1) * hiddenSize) },
  });
  const fits = heads.heads.filter(({ shape }) => shape.kind === "linear").map((head) => fitOf(head, hiddenSize));
  const ahead = heads.ahead && fitOf(heads.ahead, (heads.ahead.shape.inputs!.length + 1) * hiddenSize);
  const all = ahead === undefined ? fits : [...fits, ahead];
  if (all.length === 0) return;
  const depths = [...fits.map(({ head }) => head.depth), ...(heads.ahead?.shape.inputs ?? [])];
  const source = batchSource(model, data, depths, options);
  const taught = await taughtBy(heads, data, signal);
  const unit = unitGain(model);
  await forBatches(source, positions, options, async (batch) => {
    const target = await normedRows(model, batch.final, unit, batch);
    for (const { head, sums } of fits) {
      await giveTurn(signal);
      const inputs = await normedRows(model, statesAt(batch, head, "fitMaps"), unit, batch);
      await addProducts(model, sums, inputs, target);
    }
    const pairs = ahead && (await aheadBatch(batch, ahead.head));
    if (ahead === undefined || pairs === undefined) return;
    try {
      const next = await normedRows(model, pairs.final, unit, pairs);
      await addProducts(model, ahead.sums, await pairs.inputs!.read(), next);
    } finally {
      disposeBatch(pairs);
    }
  }).finally(() => {
    unit.dispose();
  });
  const solved: AffineFit[] = [];
  for (const { sums } of all) solved.push(await inTurns(solveRidge(sums, ridge), signal));
  for (const [i, { head }] of all.entries()) {
    head.weights.set({ ...head.weights.tensors, ...mapTensors(model, solved[i]!) });
  }
  heads.taught = taught;
}

/** Without those of the attention sink. */
async function normedRows(
  model: Model,
  x: Tensor,
  unit: Tensor,
  { positions }: Pick<HiddenBatch, "positions">,
): Promise<Float32Array> {
  const values = await valuesOf(() => normalize(x, { gain: unit }, model.config));
  const kept = [...positions.keys()].filter((r) => positions[r]! >= SINK_POSITIONS);
  return takeRows(model, values, kept);
}

/** Matrices of equal width side by side, and a column of ones. */
export function withOnes({ device, config }: Model, parts: readonly Float32Array[], width = config.hiddenSize): Tensor {
  const rows = parts[0]!.length / width;
  const columns = parts.length * width + 1;
  const values = new Float32Array(rows * columns).fill(1);
  parts.forEach((part, p) => {
    for (let r = 0; r < rows; r++) values.set(part.subarray(r * width, (r + 1) * width), r * columns + p * width);
  });
  return Tensor.from(device, values, [rows, columns]);
}

/** Adds XᵀX and XᵀY, which the device computes. */
async function addProducts(model: Model, sums: NormalEquations, x: Float32Array, y: Float32Array): Promise<void> {
  const { hiddenSize } = model.config;
  const rows = y.length / hiddenSize;
  if (rows === 0) return;
  const products = scope(() => {
    const inputs = withOnes(model, [x], x.length / rows);
    const targets = Tensor.from(model.device, y, [rows, hiddenSize]);
    return {
      gram: matmul(inputs, inputs, { transposeA: true }),
      moment: matmul(inputs, targets, { transposeA: true }),
    };
  });
  for (const name of ["gram", "moment"] as const) {
    const values = await products[name].read();
    values.forEach((value, i) => (sums[name][i]! += value));
    products[name].dispose();
  }
}
