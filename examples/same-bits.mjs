/**
 * The same bits everywhere: compares hashes of logits, tokens, depths and scores with those in same-bits.json. They
 * hold for every engine and every processor that run the same build of the kernels; what it prints names the build.
 *   node examples/same-bits.mjs [portable] [sotu-6 | sotu-12 | SmolLM2.gguf …] [float32 | bfloat16 | int8 | int4 …]
 * Deno and Bun run it as it is, and so does a page that imports it (`report`). `--write` puts what is found into the
 * file.
 */
import { attachHeads, createPolicy, generate } from "early-exits";
import { rotaryTable } from "early-exits/model";

const folder = import.meta.dirname; // a page has none
const { createDevice, readHeads, readJson, readModel } = await import(
  folder === undefined ? "early-exits/browser" : "early-exits/node"
);
const at = (path) => (folder === undefined ? new URL(path, import.meta.url).href : `${folder}/${path}`);
const models = (name) => at(`../models/${name}`);
const asked = folder === undefined ? [] : process.argv.slice(2);
/** The arguments of a kind; all of that kind if none was given. */
function chosen(kind, all) {
  const some = asked.filter((word) => kind.test(word));
  return some.length > 0 ? some : all;
}

const PROMPT = "The people of the United States";
const SAMPLING = { temperature: 0.8, topP: 0.95, seed: 1 };

/** A package of its own, which the clone has among its models. */
const smollm2 = folder?.includes("node_modules") ? "../early-exits-smollm2" : "models/smollm2-135m-instruct";

/** Exits by model: heads that come with it, or a logit lens. About half of the tokens pass the thresholds. */
const EXITS = {
  "sotu-6": { thresholds: 0.5, score: "maxProb" },
  "sotu-12": { heads: models("sotu-12/heads"), thresholds: [0.6, 0.2], score: "margin", fill: "shared" },
  SmolLM2: { heads: at(`../${smollm2}/heads`), thresholds: [1, 1.5, 0.5], score: "margin" },
};

/** Everything that a model computes, by name. */
async function computedBy(device, path, dtype, { heads: shipped, thresholds, ...exits }) {
  const model = await readModel(path, { device, dtype });
  const heads = shipped === undefined ? attachHeads(model, { exits: [2, 4] }) : await readHeads(shipped, model);
  const policy = createPolicy(heads, thresholds, exits);
  const computed = { logits: await model.logits(model.tokenizer.encode(PROMPT)) };
  const rows = [1, 2].map((count) => ({ rows: count, cost: 0.9 + 0.1 * count })); // so cheap that all heads draft
  const lossless = { costs: { block: rows, heads: heads.depths.map(() => 0), finalHead: rows } };
  const ways = {
    plain: {},
    exits: { policy, drafts: lossless }, // which change no bit
    lossless: { policy, lossless },
    sampled: SAMPLING,
    "sampled exits": { policy, drafts: lossless, ...SAMPLING },
    "sampled lossless": { policy, lossless, ...SAMPLING },
  };
  for (const [way, options] of Object.entries(ways)) {
    const written = [];
    const run = generate(heads, PROMPT, { ...options, maxNewTokens: 24, stopAtEndOfText: false });
    for await (const { id, depth, score = 0 } of run) written.push(id, depth, score);
    computed[way] = Float64Array.from(written);
  }
  model.dispose();
  return computed;
}

async function hashOf(values) {
  const digest = await crypto.subtle.digest("SHA-256", values);
  return Array.from(new Uint8Array(digest, 0, 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const device = await createDevice("wasm", { build: asked.includes("portable") ? "portable" : "auto" });
const { kernelBuild } = device.info;
const found = { rotary: await hashOf(rotaryTable({ dim: 64, theta: 500_000 }, 4096).cos) };
for (const name of chosen(/^sotu|gguf$/, ["sotu-6", "sotu-12"])) {
  const [subject, path] = name in EXITS ? [name, models(name)] : ["SmolLM2", name];
  for (const dtype of chosen(/^(b?float|int)\d+$/, ["float32", "bfloat16", "int8", "int4"])) {
    const computed = await computedBy(device, path, dtype, EXITS[subject]);
    for (const [what, values] of Object.entries(computed)) found[`${subject} ${dtype} ${what}`] = await hashOf(values);
  }
}

const table = await readJson(at("same-bits.json"));
const expected = (table[kernelBuild.split("-")[0]] ??= {});
const others = Object.keys(found).filter((what) => found[what] !== expected[what]);
const engine = globalThis.navigator?.userAgent ?? `Node.js/${process.versions.node}`;
const count = Object.keys(found).length;
export const report = [
  `${engine}: kernels ${kernelBuild}, ${count - others.length} of ${count} hashes as in same-bits.json`,
  ...others.map((what) => `${what}: ${found[what]} instead of ${expected[what]}`),
].join("\n");
console.log(report);
if (asked.includes("--write")) {
  const { writeFile } = await import("node:fs/promises");
  Object.assign(expected, found);
  await writeFile(at("same-bits.json"), `${JSON.stringify(table, undefined, 2)}\n`);
} else if (folder !== undefined && others.length > 0) process.exitCode = 1;
