/** The largest values of a row that stays on the device. */
import type { Screening } from "../../device.js";
import type { Engine } from "../engine.js";
import { LARGEST_BLOCK } from "../kernels/constants.js";

export function largestKernel(engine: Engine): Screening["largest"] {
  return (x, row, { width, count }) => {
    const out = engine.work(4 * (2 * count + Math.ceil(width / LARGEST_BLOCK) + 4));
    const work = out + 4 * count;
    engine.wasm.largest({ x: engine.at(x) + 4 * row * width, n: width, count, work, out });
    const ids: number[] = [];
    for (let i = out / 4; i < out / 4 + count; i++) ids.push(engine.memory.i32[i]!);
    return ids;
  };
}
