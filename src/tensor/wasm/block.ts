/**
 * A block's kernels in one call, on addresses. A matrix that is read leaves nothing else in the nearest caches, so
 * whatever JavaScript does between two products waits for memory: tensors, scopes and checks took a twelfth of a token.
 */
import type { BlockKernel, PackedLinear, Storage } from "../device.js";
import { attendCaches, writeCaches } from "./attention.js";
import { type Engine, SLACK } from "./engine.js";
import type { Linear } from "./products.js";

export function blockKernel(engine: Engine, linear: Linear): BlockKernel {
  const product = (x: number, { weight, bias }: PackedLinear, rows: number, residual: number, y: number): void =>
    linear(x, engine.packed(weight), rows, engine.atOrNone(bias), residual, y);
  const norm = (x: number, gain: Storage, rows: number, epsilon: number, y: number): void => {
    const given = { x, gain: engine.at(gain), bias: 0, y, n: gain.length, epsilon, centered: 0 };
    engine.shareRows("norm", given, rows, gain.length);
  };

  return (
    x,
    { attentionNorm, query, keyValue, attentionOut, mlpNorm, up, down, heads, epsilon },
    { segments, rope, window },
  ) => {
    const entering = engine.at(x);
    const rows = x.length / attentionNorm.length;
    const y = engine.allocate(x.length);
    const sizes =
      2 * attentionNorm.length + 2 * query.weight.rows + (keyValue?.weight.rows ?? 0) + 1.5 * up.weight.rows;
    const room = engine.allocate(rows * sizes + 6 * APART);
    const normed = room.address;
    const queries = after(normed, x.length);
    const keyValues = after(queries, rows * query.weight.rows);
    const context = after(keyValues, rows * (keyValue?.weight.rows ?? 0));
    const attended = after(context, rows * query.weight.rows);
    const gates = after(attended, x.length);
    const hidden = after(gates, rows * up.weight.rows);

    norm(entering, attentionNorm, rows, epsilon, normed);
    product(normed, query, rows, 0, queries);
    if (keyValue !== undefined) {
      product(normed, keyValue, rows, 0, keyValues);
      writeCaches(engine, segments, keyValues, rope);
    }
    attendCaches(engine, segments, queries, context, { heads, rope, window });
    product(context, attentionOut, rows, entering, attended);
    norm(attended, mlpNorm, rows, epsilon, normed);
    product(normed, up, rows, 0, gates);
    engine.shareRows("swiglu", { x: gates, y: hidden, n: down.weight.columns }, rows, down.weight.columns);
    product(hidden, down, rows, attended, y.address);
    engine.free(room);
    return y;
  };
}

/** Most floats of `after` beyond an array. */
const APART = 32;

/** An address after `floats` and the bytes of their own that kernels may read. */
function after(address: number, floats: number): number {
  return address + 64 * Math.ceil((4 * floats + SLACK) / 64);
}
