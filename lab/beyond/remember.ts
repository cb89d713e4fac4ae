/** Batches that stay in memory once they are made: heads with a block need whole windows, epoch after epoch. */
import type { Model } from "early-exits";
import type { BatchSource, HiddenBatch, Outcome } from "early-exits/exits";
import { Tensor } from "early-exits/tensor";
import { disposeBatch, outcomeOf } from "../../src/exits/states/index.js";

interface KeptStates {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

interface KeptBatch {
  readonly hidden: ReadonlyMap<number, KeptStates>;
  readonly final: KeptStates;
  readonly positions: Int32Array;
  readonly outcome: Outcome;
  readonly windows: readonly { readonly hidden: ReadonlyMap<number, KeptStates>; readonly from: number }[];
}

/** The batches of one epoch of a source, the same in every epoch, with the full model's outcome. */
export function rememberBatches(model: Model, source: BatchSource): BatchSource {
  const batchesPerEpoch = source.batchesPerEpoch!;
  const kept = new Map<number, KeptBatch>();
  return {
    batchesPerEpoch,
    async batch(step, signal) {
      const index = step % batchesPerEpoch;
      if (!kept.has(index)) {
        const batch = await source.batch(index, signal);
        kept.set(index, await keepBatch(model, batch));
        disposeBatch(batch);
      }
      return restore(model, kept.get(index)!);
    },
  };
}

async function keepBatch(model: Model, { hidden, final, positions, windows = [] }: HiddenBatch): Promise<KeptBatch> {
  return {
    hidden: await keepAll(hidden),
    final: await keepStates(final),
    positions,
    outcome: await outcomeOf(model, final, {}),
    windows: await Promise.all(
      windows.map(async (window) => ({ hidden: await keepAll(window.hidden), from: window.from })),
    ),
  };
}

async function keepStates(tensor: Tensor): Promise<KeptStates> {
  return { values: await tensor.read(), shape: tensor.shape };
}

async function keepAll(states: ReadonlyMap<number, Tensor>): Promise<ReadonlyMap<number, KeptStates>> {
  const kept = [...states].map(async ([depth, tensor]) => [depth, await keepStates(tensor)] as const);
  return new Map(await Promise.all(kept));
}

function restore({ device }: Model, { hidden, final, positions, outcome, windows }: KeptBatch): HiddenBatch {
  const tensorOf = ({ values, shape }: KeptStates): Tensor => Tensor.from(device, values, shape);
  const tensorsOf = (states: ReadonlyMap<number, KeptStates>): ReadonlyMap<number, Tensor> =>
    new Map([...states].map(([depth, kept]) => [depth, tensorOf(kept)]));
  return {
    hidden: tensorsOf(hidden),
    final: tensorOf(final),
    rows: positions.length,
    positions,
    outcome,
    windows: windows.map((window) => ({ hidden: tensorsOf(window.hidden), from: window.from })),
  };
}
