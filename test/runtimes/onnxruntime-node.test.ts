/**
 * Exports in onnxruntime-node choose the tokens and exits that the library chooses, and their logits are within 1e-4,
 * for every family, kind of head, score and fill. Long form: lab/exported/run.ts.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  attachHeads,
  type Device,
  type ExitHeads,
  fitProjections,
  generate,
  type Model,
  type Policy,
  type PolicyOptions,
  scoreNames,
} from "early-exits";
import { policyFrom } from "early-exits/calibrate";
import { exportOnnx, writeExport } from "early-exits/export";
import { createDevice, readHeads, readJson, readModel, readText } from "early-exits/node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compareExport, openExported } from "../../lab/exported/compare.js";
import { middlingPolicy } from "../../lab/exported/middling-policy.js";
import { type AskedHeads, askedHeads, hasScore, randomIds, smallConfigs, smallModel } from "../support/models.js";

/** Of two logits: what the issue allows. Their sums are far shorter than 2^10 terms of size 1. */
const LOGITS = 1e-4;
/**
 * Beside integer weights, a value of a row that lies between two integers may be rounded to either. A step is t·|w|,
 * with t = max |x| / 63 < 0.1 for normalised states, |x| < 6, and |w| < 2.
 */
const STEP = 0.2;
const NEW_TOKENS = 24;

const work = mkdtempSync(join(import.meta.dirname, "work-"));
let device: Device;
beforeAll(async () => {
  device = await createDevice("wasm");
});
afterAll(async () => {
  await device.dispose();
  rmSync(work, { recursive: true });
});

let folders = 0;
/** Exports, and compares some texts. */
async function compared(source: Model | ExitHeads, policy?: Policy, prompts = 4, tolerance = LOGITS) {
  const { vocabSize } = ("model" in source ? source.model : source).config;
  const folder = join(work, String(folders++));
  await writeExport(folder, await exportOnnx(source, { policy }));
  const decoder = await openExported(folder);
  const starts = Array.from({ length: prompts }, (_, i) => randomIds(1 + 3 * i, vocabSize, 50 + i));
  const found = await compareExport(source, decoder, starts, { policy, maxNewTokens: NEW_TOKENS });
  await decoder.close();
  expect(found.differences).toEqual([]);
  expect(found.logitsError).toBeLessThan(tolerance);
  expect(found.tokens).toBe(prompts * NEW_TOKENS);
  return found;
}

describe.each(Object.entries(smallConfigs))("%s", (_name, config) => {
  it("gives the same tokens, exits and logits", async () => {
    const model = await smallModel({ config, device, gain: 4 });
    const heads = attachHeads(model, { exits: [1, 3], kind: "dense" });
    const policy = await middlingPolicy(heads, randomIds(40, model.config.vocabSize, 3));
    const { left, rows } = await compared(heads, policy);
    expect(left).toBeGreaterThan(0);
    expect(rows).toBeGreaterThan(0);
    await compared(model);
    heads.dispose();
    model.dispose();
  });
});

const golden = join(import.meta.dirname, "../golden");
const checkpoints = readdirSync(golden).filter((name) => !name.endsWith(".json"));

describe.each(checkpoints)("the checkpoint %s", (name) => {
  it("gives the same tokens, exits and logits", async () => {
    const model = await readModel(join(golden, name), { device });
    const heads = attachHeads(model, { exits: [1], kind: "linear" });
    const policy = await middlingPolicy(heads, randomIds(32, model.config.vocabSize, 4), { score: "entropy" });
    const { left } = await compared(heads, policy, 2);
    expect(left).toBeGreaterThan(0);
    heads.dispose();
    model.dispose();
  });
});

const named = (name: string): AskedHeads => askedHeads.find((asked) => asked.name === name)!;

describe("heads", () => {
  it.each(askedHeads)("$name", async (asked) => {
    const model = await smallModel({ config: smallConfigs["gpt2, untied, n_inner, gelu"]!, device, gain: 4 });
    const heads = attachHeads(model, { exits: [2], ...asked, dtype: "float32" });
    const score = hasScore(asked, "entropy") ? "entropy" : "margin";
    const policy = await middlingPolicy(heads, randomIds(40, model.config.vocabSize, 5), { score });
    const { left } = await compared(heads, policy, 2);
    expect(left).toBeGreaterThan(0);
    heads.dispose();
    model.dispose();
  });

  it.each([
    ["dense", "int8"],
    ["dense", "int4"],
    ["dense", "bfloat16"],
    ["linear", "int8"],
    ["linear, with a preview", "int8"],
    ["linear, with a preview", undefined],
    ["linear, with a preview of a list", undefined],
  ] as const)("%s, stored as %s", async (name, dtype) => {
    const model = await smallModel({ config: { ...smallConfigs["llama"], hidden_size: 40 }, device, gain: 4 });
    const heads = attachHeads(model, { exits: [2], ...named(name), ...(dtype && { dtype }) });
    const policy = await middlingPolicy(heads, randomIds(40, model.config.vocabSize, 5));
    const { left } = await compared(heads, policy, 2, dtype === "bfloat16" ? LOGITS : STEP);
    expect(left).toBeGreaterThan(0);
    heads.dispose();
    model.dispose();
  });

  it.each(["dense", "linear"] as const)("every score of kind %s", async (kind) => {
    const model = await smallModel({ config: smallConfigs["llama"]!, device, gain: 4 });
    const heads = attachHeads(model, { exits: [1, 2], kind });
    for (const score of scoreNames) {
      const policy = await middlingPolicy(heads, randomIds(40, model.config.vocabSize, 6), { score });
      const { left } = await compared(heads, policy, 2);
      expect(left).toBeGreaterThan(0);
    }
    heads.dispose();
    model.dispose();
  });

  it.each(askedHeads.slice(2))("$name, of an unembedding with a bias", async (asked) => {
    const model = await smallModel({ config: smallConfigs["phi"]!, device, gain: 4 });
    const heads = attachHeads(model, { exits: [2], ...asked, dtype: "float32" });
    const { left } = await compared(heads, await middlingPolicy(heads, randomIds(40, 61, 8)), 2);
    expect(left).toBeGreaterThan(0);
    heads.dispose();
    model.dispose();
  });

  it("an exit at the last block, which previews the unembedding", async () => {
    const model = await smallModel({ config: smallConfigs["llama"]!, device, gain: 4 });
    const heads = attachHeads(model, { exits: [2], kind: "linear", dtype: "float32", unembeddingPreview: true });
    const { left } = await compared(heads, await middlingPolicy(heads, randomIds(40, 61, 7)), 2);
    expect(left).toBeGreaterThan(0);
    heads.dispose();
    model.dispose();
  });
});

describe("fills", () => {
  const cases: readonly (readonly [string, PolicyOptions & { readonly config?: string }])[] = [
    ["lazy", { fill: "lazy" }],
    ["project", { fill: "project" }],
    ["project, key norms and windows", { fill: "project", config: "gemma3_text" }],
    ["shared", { fill: "shared", config: "llama, shared keys and values" }],
    ["project beside shared keys and values", { fill: "project", config: "llama, shared keys and values" }],
  ];
  it.each(cases)("%s", async (_name, { config = "llama", ...options }) => {
    const model = await smallModel({ config: smallConfigs[config]!, device, gain: 4 });
    const heads = attachHeads(model, { exits: [1, 2, 3], kind: "linear" });
    const documents = Array.from({ length: 8 }, (_, i) => randomIds(32, model.config.vocabSize, 70 + i));
    if (options.fill === "project") await fitProjections(heads, documents, { sequenceLength: 32 });
    const policy = await middlingPolicy(heads, documents[0]!, options);
    const { left } = await compared(heads, policy);
    expect(left).toBeGreaterThan(0);
    heads.dispose();
    model.dispose();
  });
});

it("the text that docs/exporting.md shows is that of the embedded model, driver and library", async () => {
  const page = await readText(join(import.meta.dirname, "../../docs/exporting.md"));
  const [, command, output] = /\$ node (exported\/onnxruntime-node\.mjs exported .*)\n([^`]*)```/.exec(page)!;
  const embedded = join(import.meta.dirname, "../../models/sotu-12");
  const model = await readModel(embedded, { device });
  const heads = await readHeads(join(embedded, "heads"), model);
  const policy = policyFrom(await readJson(join(embedded, "certificates/95.json")));
  await writeExport(join(work, "exported"), await exportOnnx(heads, { policy }));
  const shown = execFileSync("node", command!.split(" "), { cwd: work, encoding: "utf8" });
  expect(shown).toBe(output);
  const [ids, newTokens] = command!.split(" ").slice(2);
  const run = generate(heads, ids!.split(",").map(Number), { policy, maxNewTokens: Number(newTokens) });
  const lines: string[] = [];
  for await (const { id, depth } of run) lines.push(`${id}\tdepth ${depth}\n`);
  expect(lines.join("")).toBe(output);
  heads.dispose();
  model.dispose();
});
