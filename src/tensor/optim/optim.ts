/**
 * Optimization: AdamW with decoupled weight decay (Loshchilov & Hutter 2019), clipping by the global gradient norm
 * (Pascanu et al. 2013), and a learning rate with linear warm-up and cosine decay.
 */
import { NumericsError, OptionError, requireInteger, requireNumber, ShapeError } from "../../errors.js";
import { formatShape } from "../shape.js";
import { keep, Tensor } from "../tensor.js";

/** For training that has met NaN or infinity: damaged weights, too high a learning rate. */
export const REMEDY =
  'look for damaged weights of the model with "early-exits plan --check"; if they are sound, train with a lower ' +
  "learning rate, from the last checkpoint or afresh";

export interface AdamwOptions {
  /** @default 0.9 */
  readonly beta1?: number;
  /** @default 0.999 */
  readonly beta2?: number;
  /** @default 1e-8 */
  readonly epsilon?: number;
  /** For parameters with two or more axes only (not gains and biases). @default 0.01 */
  readonly weightDecay?: number;
  /** Gradients are scaled down to this global norm; 0: no clipping. @default 0 */
  readonly maxGradientNorm?: number;
}

interface AdamwState {
  readonly step: number;
  /** First and second moments, per parameter. */
  readonly moments: readonly { readonly m: Float32Array; readonly v: Float32Array }[];
}

export class Adamw {
  readonly #moments: { readonly m: Tensor; readonly v: Tensor }[];
  readonly #options: Required<AdamwOptions>;
  #step = 0;

  constructor(
    readonly parameters: readonly Tensor[],
    { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, maxGradientNorm = 0 }: AdamwOptions = {},
  ) {
    for (const [name, beta] of [
      ["beta1", beta1],
      ["beta2", beta2],
    ] as const) {
      if (!(beta >= 0 && beta < 1)) {
        throw new OptionError("option-range", `Adamw: ${name}: expected a number in [0, 1), found ${beta}`, {
          [name]: beta,
        });
      }
    }
    requireNumber("Adamw: epsilon", epsilon, 1, { open: true });
    requireNumber("Adamw: weightDecay", weightDecay, 1e3);
    requireNumber("Adamw: maxGradientNorm", maxGradientNorm, 1e9);
    this.#options = { beta1, beta2, epsilon, weightDecay, maxGradientNorm };
    const zeros = (parameter: Tensor): Tensor =>
      keep(Tensor.from(parameter.device, new Float32Array(parameter.size), parameter.shape));
    this.#moments = parameters.map((parameter) => ({ m: zeros(parameter), v: zeros(parameter) }));
  }

  get steps(): number {
    return this.#step;
  }

  /**
   * Applies the gradients that `backward` left, frees them, and returns their global norm (NaN without clipping: it is
   * not computed). Throws a NumericsError, and changes nothing, if that norm is not finite.
   */
  async step(learningRate: number): Promise<number> {
    const { beta1, beta2, epsilon, weightDecay, maxGradientNorm } = this.#options;
    const norm = maxGradientNorm > 0 ? await globalNorm(this.parameters) : NaN;
    if (maxGradientNorm > 0) requireFiniteNorm(norm);
    this.#step++;
    const shared = {
      learningRate,
      beta1,
      beta2,
      epsilon,
      correction1: 1 - beta1 ** this.#step,
      correction2: 1 - beta2 ** this.#step,
      gradientScale: norm > maxGradientNorm ? maxGradientNorm / norm : 1,
    };
    this.parameters.forEach((parameter, index) => {
      if (parameter.grad === undefined) return;
      const { m, v } = this.#moments[index]!;
      const decay = parameter.shape.length >= 2 ? weightDecay : 0;
      parameter.device.kernels.adamw(parameter.storage, parameter.grad.storage, m.storage, v.storage, {
        ...shared,
        weightDecay: decay,
      });
      parameter.grad.dispose();
      parameter.grad = undefined;
    });
    return norm;
  }

  async state(): Promise<AdamwState> {
    const moments = [];
    for (const { m, v } of this.#moments) moments.push({ m: await m.read(), v: await v.read() });
    return { step: this.#step, moments };
  }

  restore({ step, moments }: AdamwState): void {
    if (
      moments.length !== this.#moments.length ||
      this.#moments.some(({ m }, i) => moments[i]!.m.length !== m.size || moments[i]!.v.length !== m.size)
    ) {
      const sizes = { expected: this.#moments.map(({ m }) => m.size), found: moments.map(({ m }) => m.length) };
      throw new ShapeError(
        "shape-state",
        `Adamw.restore: the parameters have sizes ${formatShape(sizes.expected)}, the ` +
          `moments ${formatShape(sizes.found)}; restore a state of the same parameters`,
        sizes,
      );
    }
    this.#step = step;
    this.#moments.forEach(({ m, v }, index) => {
      m.device.write(m.storage, moments[index]!.m);
      v.device.write(v.storage, moments[index]!.v);
    });
  }

  dispose(): void {
    for (const { m, v } of this.#moments) {
      m.dispose();
      v.dispose();
    }
  }
}

function requireFiniteNorm(norm: number): void {
  if (Number.isFinite(norm)) return;
  throw new NumericsError(
    "gradient-non-finite",
    `Adamw.step: the norm of the gradients is ${norm}, so nothing was changed; ${REMEDY}`,
    { norm },
  );
}

async function globalNorm(parameters: readonly Tensor[]): Promise<number> {
  let total = 0;
  const sums = parameters.flatMap(({ grad, device }) =>
    grad === undefined ? [] : [{ device, storage: device.kernels.sumSquares(grad.storage) }],
  );
  for (const { device, storage } of sums) {
    total += (await device.read(storage))[0]!;
    device.free(storage);
  }
  return Math.sqrt(total);
}

interface ScheduleOptions {
  readonly learningRate: number;
  readonly steps: number;
  /** Steps of linear warm-up. @default 0 */
  readonly warmup?: number;
  /** The last learning rate as a share of the first. @default 0 */
  readonly final?: number;
}

/** Learning rates of steps 0, 1, …: linear warm-up, then half a cosine down to `final` of the peak. */
export function cosineSchedule({
  learningRate,
  steps,
  warmup = 0,
  final = 0,
}: ScheduleOptions): (step: number) => number {
  requireInteger("cosineSchedule: steps", steps, 1);
  requireInteger("cosineSchedule: warmup", warmup, 0);
  requireNumber("cosineSchedule: learningRate", learningRate, 1e6);
  return (step) => {
    if (step < warmup) return (learningRate * (step + 1)) / warmup;
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return learningRate * (final + (1 - final) * 0.5 * (1 + Math.cos(Math.PI * progress)));
  };
}
