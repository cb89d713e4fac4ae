/** The largest values of a row that stays on the device. */
import type { Screening } from "../../device.js";
import type { Engine } from "../engine.js";

export function largestKernel(engine: Engine): Screening["largest"] {
  return (x, row, { width, count }) => {
    const work = engine.work(8 * count);
    const out = work + 4 * count;
    engine.wasm.largest({ x: engine.at(x) + 4 * row * width, n: width, count, work, out });
    return Array.from(engine.memory.i32.subarray(out / 4, out / 4 + count));
  };
}
