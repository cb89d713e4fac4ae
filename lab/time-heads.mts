import { measureUnitTimes } from "early-exits";
import { createDevice, readHeads, readModel } from "early-exits/node";
const device = await createDevice("wasm", { threads: 1 });
const model = await readModel("../shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf", { device, dtype: "int8" });
const heads = await readHeads("models/smollm2-135m-instruct/heads", model);
const t = await measureUnitTimes(heads, { context: 160, time: 4000, rows: [1, 2, 4] });
console.log(t.block.map(({ rows, cost }) => `${rows}: ${cost.toFixed(3)}`).join(" "), "heads", t.heads.map((h) => h.toFixed(3)).join(" "), "final", t.finalHead[0]!.cost.toFixed(3));
process.exit(0);
