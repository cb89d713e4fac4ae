/**
 * Single entries of a product. A panel of sixteen rows is multiplied alone with the bits that it has among others, so
 * only the panels of wanted entries are read, each once: fifteen neighbours with each, but no second copy of the rows.
 */
import { deviceMixed } from "../../device-errors.js";
import type { PackedStorage, Screening } from "../../device.js";
import { type Engine, WasmPacked } from "../engine.js";
import { ACROSS, PANELS, panelsOf } from "../products.js";

export function linearAtKernel(engine: Engine): Screening["linearAt"] {
  const { wasm } = engine;
  return (x, weight, ids, bias) => {
    const { address, rows: n, columns: k, dtype } = engine.packed(weight);
    const y = engine.allocate(ids.length);
    const given = {
      kind: dtype === "float32" || dtype === "bfloat16" ? PANELS[dtype] : ACROSS[dtype],
      w: address,
      x: engine.at(x),
      y: y.address,
      bias: bias === undefined ? 0 : engine.at(bias),
      ids: engine.indices(ids),
      count: ids.length,
      n,
      k,
      work: 0,
    };
    if (dtype === "float32" || dtype === "bfloat16") {
      given.work = engine.work(128);
      wasm.linearAt(given);
    } else {
      given.work = engine.work(wasm.integerWorkBytes(1, k));
      wasm.integersAt(given);
    }
    return y;
  };
}

/** Of the panels that hold these entries, ascending. */
export function bytesAt(weight: PackedStorage, ids: ArrayLike<number>): number {
  if (!(weight instanceof WasmPacked)) throw deviceMixed("wasm", "a weight matrix", "load the model on this one");
  let panels = 0;
  for (let i = 0; i < ids.length; i++) {
    if (i === 0 || ids[i]! >> 4 !== ids[i - 1]! >> 4) panels++;
  }
  return panels * panelBytes(weight);
}

function panelBytes({ bytes, rows }: WasmPacked): number {
  return bytes / panelsOf(rows);
}
