import { readFileSync, writeFileSync, existsSync } from "node:fs";
import { createDevice, readModel } from "./src/node/index.js";
const M = "/tmp/w/shared/fixtures/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf";
const text = readFileSync("/tmp/w/int4-wiki40k.txt", "utf8");
const device = await createDevice("wasm");
const W = 384, PARTS = Number(process.env.PARTS ?? 2);
for (const dtype of process.argv.slice(2) as ("float32")[]) {
  const model = await readModel(M, { device, dtype });
  const ids = model.tokenizer!.encode(text.slice(0, 12000));
  const V = model.config.vocabSize; let kl = 0, n = 0, nll = 0, same = 0, base = 0; const c0 = process.cpuUsage();
  let cpu = 0;
  for (let p = 0; p < PARTS; p++) {
    const part = ids.slice(p * W, (p + 1) * W + 1);
    const c = process.cpuUsage();
    const logits = await model.logits(part.slice(0, -1));
    const d = process.cpuUsage(c); cpu += d.user + d.system;
    const file = `/tmp/w/int4-f32-${p}.bin`;
    if (dtype === "float32") { writeFileSync(file, new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength)); }
    const f = dtype === "float32" ? logits : new Float32Array(readFileSync(file).buffer);
    const lse = (r: Float32Array) => { let m = -Infinity; for (const v of r) if (v > m) m = v; let s = 0; for (const v of r) s += Math.exp(v - m); return m + Math.log(s); };
    for (let t = 0; t < W; t++) {
      const a = f.subarray(t * V, t * V + V), b = logits.subarray(t * V, t * V + V); const za = lse(a), zb = lse(b);
      let ia = 0, ib = 0;
      for (let i = 0; i < V; i++) { const q = a[i]! - za; if (q > -14) kl += Math.exp(q) * (q - b[i]! + zb); if (a[i]! > a[ia]!) ia = i; if (b[i]! > b[ib]!) ib = i; }
      nll += zb - b[part[t + 1]!]!; base += za - a[part[t + 1]!]!; n++; if (ia === ib) same++;
    }
  }
  console.log(dtype, n, "nll", (nll / n).toFixed(5), "diff", ((nll - base) / n).toExponential(2), "KL", (kl / n).toExponential(3), "same", (same / n).toFixed(4), "prefill cpu tok/s", (n / cpu * 1e6).toFixed(1));
  model.dispose();
}
