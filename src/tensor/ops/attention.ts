/**
 * Causal attention over whole sequences (Vaswani et al. 2017) with grouped key/value heads (Ainslie et al. 2023):
 *   y_t = Σ_{s<=t} softmax_s(q_t·k_s/√D) v_s; query head h reads key/value head floor(h·G/H).
 * With a window of w, s > t - w. Decoding attends to a cache instead: model/advance.ts.
 */
import { ShapeError } from "../../errors.js";
import { record, requireDevice } from "../autograd.js";
import { formatShape } from "../shape.js";
import type { Tensor } from "../tensor.js";

interface AttentionOptions {
  /** Sequences of equal length, one after another along the rows. @default 1 */
  readonly batch?: number;
  readonly heads: number;
  readonly kvHeads: number;
  /** Each position attends to at most this many, itself included. @default all before it */
  readonly window?: number | undefined;
}

/** q [B·T, H·D], k and v [B·T, G·D] -> [B·T, H·D]. */
export function causalAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { batch = 1, heads, kvHeads, window }: AttentionOptions,
): Tensor {
  const [rows, width] = q.shape;
  const time = (rows ?? 0) / batch;
  const headDim = (width ?? 0) / heads;
  const expected = formatShape([rows ?? 0, kvHeads * headDim]);
  if (
    q.shape.length !== 2 ||
    !Number.isInteger(time) ||
    !Number.isInteger(headDim) ||
    heads % kvHeads !== 0 ||
    [k, v].some(({ shape }) => formatShape(shape) !== expected)
  ) {
    throw new ShapeError(
      "shape-attention",
      `causalAttention: q ${formatShape(q.shape)}, k ${formatShape(k.shape)}, v ${formatShape(v.shape)} with ` +
        `batch ${batch}, ${heads} query and ${kvHeads} key/value heads; ` +
        "expected q [B·T, H·D], k and v [B·T, G·D], H a multiple of G",
      { q: q.shape, k: k.shape, v: v.shape },
    );
  }
  const { device } = q;
  for (const operand of [k, v]) requireDevice(operand, device);
  const dims = { batch, time, heads, kvHeads, headDim, window };
  return record(device, device.kernels.attention(q.storage, k.storage, v.storage, dims), q.shape, [q, k, v], (dy) => {
    const { dq, dk, dv } = device.kernels.attentionBackward(q.storage, k.storage, v.storage, dy.storage, dims);
    return [dq, dk, dv];
  });
}
