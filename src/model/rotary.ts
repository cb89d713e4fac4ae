/**
 * Rotary tables: cos and sin of position · θ^(-2i/dim), scaled as in config.ts. Computed in float64 and doubled when a
 * longer sequence comes, so a context of 128k needs no table for positions never visited.
 */
import { cosine, exponential, logarithm } from "./elementary.js";
import { type Device, Tensor } from "../tensor/index.js";
import { keep } from "../tensor/tensor.js";
import type { Rope } from "../tensor/device.js";
import type { RopeTable } from "../tensor/ops/rope.js";
import type { Llama3RopeScaling, LongRopeScaling, RotaryConfig, YarnRopeScaling } from "./config.js";

/** Radians per position, [dim / 2]. */
export function rotaryFrequencies({ dim, theta, scaling }: RotaryConfig): number[] {
  const plain = Array.from({ length: dim / 2 }, (_, i) => exponential(((-2 * i) / dim) * logarithm(theta)));
  switch (scaling?.ropeType) {
    case undefined:
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
    case "longrope":
      return plain.map((frequency, i) => frequency / scaling.factors[i]!);
    case "llama3":
    case "yarn": {
      const share = scaling.ropeType === "yarn" ? yarnShare(dim, theta, scaling) : llama3Share(scaling);
      return plain.map((frequency, i) => {
        const kept = Math.min(1, Math.max(0, share(frequency, i))); // the rest is divided by the factor
        return (kept + (1 - kept) / scaling.factor) * frequency;
      });
    }
  }
}

/** Unscaled share of pair i; clamped to [0, 1]. */
type Share = (frequency: number, i: number) => number;

/** Rises with the full turns within the original context. */
function llama3Share({ lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings }: Llama3RopeScaling): Share {
  return (frequency) => {
    const turns = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
    return (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  };
}

/** Falls with the pair's number, from `betaFast` turns within the original context to `betaSlow`. */
function yarnShare(dim: number, theta: number, scaling: YarnRopeScaling): Share {
  const pairOf = (turns: number): number =>
    (dim * logarithm(scaling.originalMaxPositionEmbeddings / (2 * Math.PI * turns))) / (2 * logarithm(theta));
  const low = Math.max(0, Math.floor(pairOf(scaling.betaFast)));
  const high = Math.min(dim - 1, Math.ceil(pairOf(scaling.betaSlow)));
  return (_, i) => 1 - (i - low) / (high - low || 0.001);
}

/** cos and sin times the scaling's factor: [length, dim / 2] each. */
export function rotaryTable(
  config: RotaryConfig,
  length: number,
): { readonly cos: Float32Array; readonly sin: Float32Array } {
  const frequencies = rotaryFrequencies(config);
  const magnitude = (config.scaling as Partial<LongRopeScaling> | undefined)?.attentionFactor ?? 1;
  const half = frequencies.length;
  const values = (quarters?: number): Float32Array => {
    const table = new Float32Array(length * half);
    for (let i = 0; i < table.length; i++) {
      table[i] = magnitude * cosine(Math.floor(i / half) * frequencies[i % half]!, quarters);
    }
    return table;
  };
  return { cos: values(), sin: values(3) };
}

export class RotaryTables {
  readonly #config: RotaryConfig;
  #length = 0;
  #table: RopeTable | undefined;
  #rope: Rope | undefined;

  constructor(
    readonly device: Device,
    config: RotaryConfig,
  ) {
    this.#config = config;
  }

  /** Covers at least the positions 0..length-1. */
  tables(length: number): RopeTable {
    if (this.#table === undefined || length > this.#length) {
      this.dispose();
      this.#length = Math.max(64, 2 ** Math.ceil(Math.log2(length)));
      const { cos, sin } = rotaryTable(this.#config, this.#length);
      this.#table = { cos: this.#tensor(cos), sin: this.#tensor(sin) };
    }
    return this.#table;
  }

  /** `tables` as kernels take them. */
  rope(length: number): Rope {
    const { cos, sin } = this.tables(length);
    return (this.#rope ??= { cos: cos.storage, sin: sin.storage, rotaryDim: this.#config.dim });
  }

  dispose(): void {
    this.#table?.cos.dispose();
    this.#table?.sin.dispose();
    this.#table = undefined;
    this.#rope = undefined;
  }

  #tensor(values: Float32Array): Tensor {
    return keep(Tensor.from(this.device, values, [this.#length, this.#config.dim / 2]));
  }
}
