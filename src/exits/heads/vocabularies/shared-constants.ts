/**
 * Frozen values that several heads of a model share: each is made once, and freed with its last use. Heads at different
 * depths with one shortlist read the same packed rows, which therefore stay in the CPU's caches from head to head.
 */
import type { Matrix, Model } from "../../../model/index.js";
import { keep, PackedMatrix, Tensor, type WeightDtype } from "../../../tensor/index.js";
import { embedding } from "../../../tensor/ops/index.js";
import type { Constant } from "./head-vocabulary-definition.js";

interface Shared {
  readonly value: Promise<Matrix>;
  users: number;
}

const shared = new WeakMap<Model, Map<string, Shared>>();

/** The constant of this name, made by `make` if no head of the model uses it yet. */
export async function share(model: Model, name: string, make: () => Promise<Matrix>): Promise<Constant> {
  const ofModel = shared.get(model) ?? new Map<string, Shared>();
  shared.set(model, ofModel);
  const entry = ofModel.get(name) ?? { value: make(), users: 0 };
  ofModel.set(name, entry);
  entry.users++;
  const value = await entry.value;
  let released = false;
  return {
    value,
    release() {
      if (released) return;
      released = true;
      if (--entry.users > 0) return;
      ofModel.delete(name);
      value.dispose();
    },
  };
}

/** A gain of ones [C]: the norm alone. */
export function shareUnitGain(model: Model): Promise<Constant> {
  const { hiddenSize } = model.config;
  const make = (): Tensor => keep(Tensor.from(model.device, new Float32Array(hiddenSize).fill(1), [hiddenSize]));
  return share(model, "unit gain", () => Promise.resolve(make()));
}

/** Rows of the unembedding for these ids, and a row of zeros: [n + 1, C]. */
export function shareRows(model: Model, ids: readonly number[], dtype: WeightDtype): Promise<Constant> {
  const { hiddenSize } = model.config;
  return share(model, `rows ${dtype} ${ids.join()}`, async () => {
    const rows = embedding(model.weights.unembedding.weight, [...ids]); // [n, C]
    const values = new Float32Array((ids.length + 1) * hiddenSize);
    values.set(await rows.read());
    rows.dispose();
    return PackedMatrix.from(model.device, values, [ids.length + 1, hiddenSize], dtype);
  });
}

/** The unembedding's bias for these ids: [n]; undefined if it has none. */
export async function shareBias(model: Model, ids: readonly number[]): Promise<Constant | undefined> {
  const { bias } = model.weights.unembedding;
  if (bias === undefined) return undefined;
  return share(model, `bias ${ids.join()}`, async () => {
    const values = await bias.read();
    return keep(
      Tensor.from(
        model.device,
        Float32Array.from(ids, (id) => values[id]!),
        [ids.length],
      ),
    );
  });
}

/** A column [n, 1] of zeros that ends in one: it moves a number into the last of n places. */
export function shareLastColumn(model: Model, n: number): Promise<Constant> {
  const column = new Float32Array(n);
  column[n - 1] = 1;
  return share(model, `last column ${n}`, () => Promise.resolve(PackedMatrix.from(model.device, column, [n, 1])));
}
