/**
 * Tables for rotary positions: cos and sin of position · θ^(-2i/dim), with Llama 3's scaling or a linear one (see
 * config.ts). They are computed in float64 and doubled when a longer sequence comes, so a model with a context of 128k
 * needs no table for positions that it never visits.
 */
import { type Device, keep, type Rope, Tensor } from "../tensor/index.js";
import type { RopeTable } from "../tensor/ops/index.js";
import type { RotaryConfig } from "./config.js";

/** Frequencies in radians per position, [dim / 2]. */
export function rotaryFrequencies({ dim, theta, scaling }: RotaryConfig): number[] {
  const plain = Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  switch (scaling?.ropeType) {
    case undefined:
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
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

export class RotaryTables {
  readonly #frequencies: readonly number[];
  #length = 0;
  #table: RopeTable | undefined;
  #rope: Rope | undefined;

  constructor(
    readonly device: Device,
    config: RotaryConfig,
  ) {
    this.#frequencies = rotaryFrequencies(config);
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

  /** cos or sin of every angle: [length, dim / 2]. */
  #compute(of: (angle: number) => number): Tensor {
    const half = this.#frequencies.length;
    const values = new Float32Array(this.#length * half);
    for (let i = 0; i < values.length; i++) values[i] = of(Math.floor(i / half) * this.#frequencies[i % half]!);
    return keep(Tensor.from(this.device, values, [this.#length, half]));
  }
}
