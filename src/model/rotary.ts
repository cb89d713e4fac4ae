/**
 * Tables for rotary positions: cos and sin of position · θ^(-2i/dim), scaled as config.ts describes. They are computed in float64 and doubled when a longer sequence comes, so a model with a context of 128k
 * needs no table for positions that it never visits.
 */
import { type Device, keep, type Rope, Tensor } from "../tensor/index.js";
import type { RopeTable } from "../tensor/ops/index.js";
import type { RotaryConfig, YarnRopeScaling } from "./config.js";

/** Frequencies in radians per position, [dim / 2]. */
export function rotaryFrequencies({ dim, theta, scaling }: RotaryConfig): number[] {
  const plain = Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  switch (scaling?.ropeType) {
    case undefined:
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
    case "longrope":
      return plain.map((frequency, i) => frequency / scaling.factors[i]!);
    case "yarn":
      return yarnFrequencies(plain, theta, scaling);
    case "llama3": {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original } = scaling;
      return plain.map((frequency) => {
        const turns = (original * frequency) / (2 * Math.PI); // full turns within the original context
        // The share that stays unscaled: 0 for long wavelengths, 1 for short ones, linear between.
        const kept = Math.min(1, Math.max(0, (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor)));
        return (kept + (1 - kept) / factor) * frequency;
      });
    }
  }
}

/** A frequency's share that is kept falls from 1 to 0 between the pairs `low` and `high`. */
function yarnFrequencies(plain: readonly number[], theta: number, scaling: YarnRopeScaling): number[] {
  const { factor, betaFast, betaSlow, truncate, originalMaxPositionEmbeddings: original } = scaling;
  const dim = 2 * plain.length;
  /** The pair, as a real number, that turns so often within the original context. */
  const pairOf = (turns: number): number => (dim * Math.log(original / (2 * Math.PI * turns))) / (2 * Math.log(theta));
  const low = Math.max(0, truncate ? Math.floor(pairOf(betaFast)) : pairOf(betaFast));
  const high = Math.min(dim - 1, truncate ? Math.ceil(pairOf(betaSlow)) : pairOf(betaSlow));
  const width = high === low ? 0.001 : high - low;
  return plain.map((frequency, i) => {
    const kept = 1 - Math.min(1, Math.max(0, (i - low) / width));
    return (kept + (1 - kept) / factor) * frequency;
  });
}

export class RotaryTables {
  readonly #frequencies: readonly number[];
  /** Factor of cos and sin. */
  readonly #magnitude: number;
  #length = 0;
  #table: RopeTable | undefined;
  #rope: Rope | undefined;

  constructor(
    readonly device: Device,
    config: RotaryConfig,
  ) {
    this.#frequencies = rotaryFrequencies(config);
    const { scaling } = config;
    this.#magnitude = scaling !== undefined && "attentionFactor" in scaling ? scaling.attentionFactor : 1;
  }

  /** Tables for at least the positions 0..length-1. */
  tables(length: number): RopeTable {
    if (this.#table === undefined || length > this.#length) {
      this.dispose();
      this.#length = Math.max(64, 2 ** Math.ceil(Math.log2(length)));
      this.#table = { cos: this.#compute(Math.cos), sin: this.#compute(Math.sin) };
    }
    return this.#table;
  }

  /** The same tables in the form that kernels take. */
  rope(length: number): Rope {
    const { cos, sin } = this.tables(length);
    return (this.#rope ??= { cos: cos.storage, sin: sin.storage, rotaryDim: 2 * this.#frequencies.length });
  }

  dispose(): void {
    this.#table?.cos.dispose();
    this.#table?.sin.dispose();
    this.#table = undefined;
    this.#rope = undefined;
  }

  /** cos or sin of every angle, times the magnitude: [length, dim / 2]. */
  #compute(of: (angle: number) => number): Tensor {
    const half = this.#frequencies.length;
    const values = new Float32Array(this.#length * half);
    for (let i = 0; i < values.length; i++) {
      values[i] = this.#magnitude * of(Math.floor(i / half) * this.#frequencies[i % half]!);
    }
    return keep(Tensor.from(this.device, values, [this.#length, half]));
  }
}
