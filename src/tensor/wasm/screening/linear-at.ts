/**
 * Single entries of a product. Weights lie in panels of sixteen rows, and `linear` computes a panel alone with the bits
 * that it has among others; so the panels that hold the wanted entries are multiplied one by one, each as a matrix of
 * its own. No second copy of the rows is needed, at the price of fifteen neighbours read with each.
 */
import { deviceMixed } from "../../device-errors.js";
import type { Kernels, PackedStorage, Screening } from "../../device.js";
import { type Engine, WasmPacked, WasmStorage } from "../engine.js";
import { panelsOf } from "../products.js";

/** `linear` is the device's own product. */
export function linearAtKernel(engine: Engine, linear: Kernels["linear"]): Screening["linearAt"] {
  return (x, weight, ids, bias) => {
    const packed = engine.packed(weight);
    const y = engine.allocate(ids.length);
    let open = -1;
    let entries: WasmStorage | undefined; // of panel `open`
    for (let i = 0; i < ids.length; i++) {
      const panel = ids[i]! >> 4;
      if (panel !== open) {
        if (entries) engine.free(entries);
        entries = engine.own(linear(x, panelOf(packed, panel), 1, bias && panelOfBias(engine, bias, panel), undefined));
        open = panel;
      }
      engine.memory.f32[y.address / 4 + i] = engine.memory.f32[entries!.address / 4 + (ids[i]! & 15)]!;
    }
    if (entries) engine.free(entries);
    return y;
  };
}

/** Bytes of the panels that hold these entries, ascending. */
export function bytesAt(weight: PackedStorage, ids: ArrayLike<number>): number {
  if (!(weight instanceof WasmPacked)) throw deviceMixed("wasm", "a weight matrix", "load the model on this one");
  let panels = 0;
  for (let i = 0; i < ids.length; i++) {
    if (i === 0 || ids[i]! >> 4 !== ids[i - 1]! >> 4) panels++;
  }
  return panels * panelBytes(weight);
}

/** Panel p as a matrix [up to 16, columns]; it shares the memory of the whole. */
function panelOf(whole: WasmPacked, p: number): WasmPacked {
  const { engine, rows, columns, dtype, address } = whole;
  const bytes = panelBytes(whole);
  return new WasmPacked(engine, Math.min(16, rows - 16 * p), columns, dtype, bytes, address + p * bytes);
}

function panelOfBias(engine: Engine, bias: Parameters<Engine["own"]>[0], p: number): WasmStorage {
  const { address, length } = engine.own(bias);
  return new WasmStorage(engine, Math.min(16, length - 16 * p), address + 64 * p);
}

/** Bytes of a panel of sixteen rows, with its scales. */
function panelBytes({ bytes, rows }: WasmPacked): number {
  return bytes / panelsOf(rows);
}
