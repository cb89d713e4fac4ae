/**
 * Ridge regression over a stream of rows, in closed form. With inputs X [R, K + 1] (a column of ones last, for the
 * bias) and targets Y [R, N],
 *     minimise |Y - X·D|² + λ·m·Σ |D_i|²      =>      (XᵀX + λm·I)·D = XᵀY
 * with the sum over the K inputs, and m the mean of their diag XᵀX. Only XᵀX and XᵀY are kept, in float64: memory does
 * not grow with the corpus. The bias is not shrunk.
 */
import { requireInteger, requireNumber, ShapeError } from "../../errors.js";
import { atOnce, type InParts } from "../../turns.js";
import { solveSymmetric } from "../../tensor/cholesky.js";

/** y ≈ weight·x + bias. */
export interface AffineFit {
  /** [N, K], row-major. */
  readonly weight: Float32Array;
  /** [N]. */
  readonly bias: Float32Array;
}

export interface SolveOptions {
  /** λ, relative to the mean square of the inputs. @default 1e-3 */
  readonly ridge?: number;
}

/** Rows added per pass over the sums, which are larger than the caches. */
const ROWS_PER_PASS = 4;

/** Normal equations of N targets on K inputs. */
export class RidgeFit {
  readonly #inputs: number;
  readonly #outputs: number;
  /** XᵀX [K + 1, K + 1]; the lower triangle is summed. */
  readonly #gram: Float64Array;
  /** XᵀY [K + 1, N]. */
  readonly #moment: Float64Array;
  #rows = 0;

  constructor(inputs: number, outputs: number) {
    this.#inputs = requireInteger("RidgeFit: inputs", inputs, 1);
    this.#outputs = requireInteger("RidgeFit: outputs", outputs, 1);
    this.#gram = new Float64Array((inputs + 1) ** 2);
    this.#moment = new Float64Array((inputs + 1) * outputs);
  }

  get rows(): number {
    return this.#rows;
  }

  /** x [R, K] and y [R, N], row-major. */
  add(x: Float32Array, y: Float32Array): void {
    const inputs = this.#inputs;
    const outputs = this.#outputs;
    const rows = x.length / inputs;
    if (!Number.isInteger(rows) || y.length !== rows * outputs) {
      throw new ShapeError(
        "shape-rows",
        `RidgeFit.add: ${x.length} and ${y.length} values are not [R, ${inputs}] and [R, ${outputs}]`,
        { x: x.length, y: y.length, inputs, outputs },
      );
    }
    // Rows missing in the last pass are zeros, in the column of ones too.
    const xs = new Float64Array(ROWS_PER_PASS * (inputs + 1));
    const ys = new Float64Array(ROWS_PER_PASS * outputs);
    for (let begin = 0; begin < rows; begin += ROWS_PER_PASS) {
      xs.fill(0);
      ys.fill(0);
      for (let r = 0; r < Math.min(ROWS_PER_PASS, rows - begin); r++) {
        xs.set(x.subarray((begin + r) * inputs, (begin + r + 1) * inputs), r * (inputs + 1));
        xs[(r + 1) * (inputs + 1) - 1] = 1;
        ys.set(y.subarray((begin + r) * outputs, (begin + r + 1) * outputs), r * outputs);
      }
      addProducts(this.#gram, xs, xs, { inputs: inputs + 1, outputs: inputs + 1, lower: true });
      addProducts(this.#moment, xs, ys, { inputs: inputs + 1, outputs, lower: false });
    }
    this.#rows += rows;
  }

  /**
   * Adds products of so many rows computed elsewhere, with the column of ones: XᵀX [K + 1, K + 1] and XᵀY [K + 1, N].
   */
  addProducts(gram: ArrayLike<number>, moment: ArrayLike<number>, rows: number): void {
    if (gram.length !== this.#gram.length || moment.length !== this.#moment.length) {
      throw new ShapeError(
        "shape-rows",
        `RidgeFit.addProducts: ${gram.length} and ${moment.length} values are not those of ${this.#inputs} inputs ` +
          `and ${this.#outputs} targets`,
        { gram: gram.length, moment: moment.length },
      );
    }
    for (let i = 0; i < gram.length; i++) this.#gram[i]! += gram[i]!;
    for (let i = 0; i < moment.length; i++) this.#moment[i]! += moment[i]!;
    this.#rows += rows;
  }

  /** More rows may follow. Throws a ShapeError if λ is 0 and the rows do not determine the map. */
  solve(options: SolveOptions = {}): AffineFit {
    return atOnce(this.solveInParts(options));
  }

  /** As `solve`, row by row. */
  *solveInParts({ ridge = 1e-3 }: SolveOptions = {}): InParts<AffineFit> {
    requireNumber("RidgeFit.solve: ridge", ridge, 0, 1e6);
    const inputs = this.#inputs;
    const outputs = this.#outputs;
    const n = inputs + 1;
    const a = Float64Array.from(this.#gram);
    let trace = 0;
    for (let i = 0; i < n; i++) {
      for (let j = i + 1; j < n; j++) a[i * n + j] = a[j * n + i]!;
      if (i < inputs) trace += a[i * (n + 1)]!;
    }
    for (let i = 0; i < inputs; i++) a[i * (n + 1)]! += (ridge * trace) / inputs;
    const solution = yield* solveSymmetric(a, this.#moment, n); // [K + 1, N]
    const weight = new Float32Array(outputs * inputs);
    for (let k = 0; k < inputs; k++) {
      for (let o = 0; o < outputs; o++) weight[o * inputs + k] = solution[k * outputs + o]!;
    }
    return { weight, bias: Float32Array.from(solution.subarray(inputs * outputs)) };
  }
}

/** Adds aᵀb of four rows, a [4, inputs] and b [4, outputs], to sums [inputs, outputs]; or its lower triangle only. */
function addProducts(
  sums: Float64Array,
  a: Float64Array,
  b: Float64Array,
  { inputs, outputs, lower }: { readonly inputs: number; readonly outputs: number; readonly lower: boolean },
): void {
  for (let i = 0; i < inputs; i++) {
    const a0 = a[i]!;
    const a1 = a[inputs + i]!;
    const a2 = a[2 * inputs + i]!;
    const a3 = a[3 * inputs + i]!;
    const end = lower ? i + 1 : outputs;
    const at = i * outputs;
    for (let j = 0; j < end; j++) {
      const first = a0 * b[j]! + a1 * b[outputs + j]!;
      sums[at + j]! += first + a2 * b[2 * outputs + j]! + a3 * b[3 * outputs + j]!;
    }
  }
}
