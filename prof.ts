import { generate } from "./src/index.js";
import { createDevice, readModel } from "./src/node/index.js";
const M = "/tmp/w/shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const device = await createDevice("wasm");
const [dtype, what] = process.argv.slice(2);
const c0 = process.cpuUsage(); const model = await readModel(M, { device, dtype: dtype as "int8" }); const c1 = process.cpuUsage(c0);
console.log(dtype, "load cpu ms", ((c1.user + c1.system) / 1000).toFixed(0));
const inspector = await import("node:inspector/promises");
const session = new inspector.Session(); session.connect(); await session.post("Profiler.enable"); await session.post("Profiler.setSamplingInterval", { interval: 500 });
async function work() {
  if (what === "prefill") { const ids = Array.from({ length: 128 }, (_, i) => 100 + 37 * i); for (let i = 0; i < 3; i++) await model.forward(ids); return 384; }
  let n = 0; for await (const _ of generate(model, "The capital of France is", { maxNewTokens: 60, stopAtEndOfText: false })) n++; return n;
}
await work();
await session.post("Profiler.start"); const c2 = process.cpuUsage(); const n = await work(); const c3 = process.cpuUsage(c2);
const { profile } = await session.post("Profiler.stop");
const total = profile.samples!.length; const counts = new Map<number, number>(); profile.samples!.forEach((s) => counts.set(s, (counts.get(s) ?? 0) + 1));
const by = new Map<string, number>(); for (const node of profile.nodes) { const name = `${node.callFrame.functionName || "?"} ${node.callFrame.url.split("/").pop()}`; by.set(name, (by.get(name) ?? 0) + (counts.get(node.id) ?? 0)); }
console.log(n, "tokens, cpu tok/s", (n / (c3.user + c3.system) * 1e6).toFixed(1));
for (const [name, c] of [...by].sort((a, b) => b[1] - a[1]).slice(0, 14)) console.log((100 * c / total).toFixed(1).padStart(6), name);
