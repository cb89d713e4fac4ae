/**
 * Exports in onnxruntime-node choose the tokens and exits that the library chooses, and their logits are within 1e-4,
 * for every family, kind of head, score and fill. Long form: lab/exported/run.ts.
 */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import {
  attachHeads,
  type AttachOptions,
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
import { readHeads, readJson, readModel, readText } from "early-exits/node";
import { describe, expect, it } from "vitest";
import { compareExport, openExported } from "../../lab/exported/compare.js";
import { middlingPolicy } from "../../lab/exported/middling-policy.js";
import { devicesHere } from "../support/devices.js";
import {
  askedHeads,
  attachOptionsOf,
  hasScore,
  randomDocuments,
  randomIds,
  smallConfigs,
  smallModel,
} from "../support/models.js";
import { scratch } from "../support/scratch.js";

/** Of two logits: what the issue allows. Their sums are far shorter than 2^10 terms of size 1. */
const LOGITS = 1e-4;
/**
 * Beside integer weights, a value of a row that lies between two integers may be rounded to either. A step is t·|w|,
 * with t = max |x| / 63 < 0.1 for normalised states, |x| < 6, and |w| < 2.
 */
const STEP = 0.2;
const NEW_TOKENS = 24;

const work = scratch(join(import.meta.dirname, "work-"));
const { wasm: device } = await devicesHere();

let folders = 0;
/** Exports, and compares some texts. */
async function compared(source: Model | ExitHeads, policy?: Policy, prompts = 4, tolerance = LOGITS) {
  const { vocabSize } = ("model" in source ? source.model : source).config;
  const folder = work.path(String(folders++));
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

interface HeadsCase {
  readonly heads: AttachOptions;
  readonly policy?: PolicyOptions;
  /** Of the text from which the policy's thresholds are taken. */
  readonly seed?: number;
  readonly prompts?: number;
  readonly tolerance?: number;
  /** Before the policy is made. */
  readonly fit?: (heads: ExitHeads) => Promise<unknown>;
}

/** Attaches heads, exports them and compares some texts, of which tokens leave early. Disposes of the model. */
async function comparedHeads(model: Model, { heads: asked, policy, seed = 5, prompts = 2, tolerance, fit }: HeadsCase) {
  const heads = attachHeads(model, asked);
  await fit?.(heads);
  const middling = await middlingPolicy(heads, randomIds(40, model.config.vocabSize, seed), policy);
  const found = await compared(heads, middling, prompts, tolerance);
  expect(found.left).toBeGreaterThan(0);
  heads.dispose();
  model.dispose();
  return found;
}

const small = (name: string, changed: Readonly<Record<string, unknown>> = {}) =>
  smallModel({ config: { ...smallConfigs[name]!, ...changed }, device, gain: 4 });

describe.each(Object.keys(smallConfigs))("%s", (name) => {
  it("gives the same tokens, exits and logits", async () => {
    const asked = { heads: { exits: [1, 3], kind: "dense" }, seed: 3, prompts: 4 } as const;
    expect((await comparedHeads(await small(name), asked)).rows).toBeGreaterThan(0);
    const model = await small(name);
    await compared(model);
    model.dispose();
  });
});

const golden = join(import.meta.dirname, "../golden");
const checkpoints = readdirSync(golden).filter((name) => !name.endsWith(".json"));

it.each(checkpoints)("the checkpoint %s gives the same tokens, exits and logits", async (name) => {
  const model = await readModel(join(golden, name), { device });
  await comparedHeads(model, { heads: { exits: [1], kind: "linear" }, policy: { score: "entropy" }, seed: 4 });
});

const named = (name: string) => askedHeads.find((asked) => asked.name === name)!;

describe("heads", () => {
  it.each(askedHeads)("$name", async (asked) => {
    const score = hasScore(asked, "entropy") ? "entropy" : "margin";
    const heads = { exits: [2], ...attachOptionsOf(asked), dtype: "float32" } as const;
    await comparedHeads(await small("gpt2, untied, n_inner, gelu"), { heads, policy: { score } });
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
    const heads = { exits: [2], ...attachOptionsOf(named(name)), ...(dtype && { dtype }) };
    const tolerance = dtype === "bfloat16" ? LOGITS : STEP;
    await comparedHeads(await small("llama", { hidden_size: 40 }), { heads, tolerance });
  });

  it.each((["dense", "linear"] as const).flatMap((kind) => scoreNames.map((score) => [kind, score] as const)))(
    "%s, by the score %s",
    async (kind, score) => {
      await comparedHeads(await small("llama"), { heads: { exits: [1, 2], kind }, policy: { score }, seed: 6 });
    },
  );

  it.each(askedHeads.slice(2))("$name, of an unembedding with a bias", async (asked) => {
    await comparedHeads(await small("phi"), {
      heads: { exits: [2], ...attachOptionsOf(asked), dtype: "float32" },
      seed: 8,
    });
  });

  it("an exit at the last block, which previews the unembedding", async () => {
    const heads = { exits: [2], kind: "linear", dtype: "float32", unembeddingPreview: true } as const;
    await comparedHeads(await small("llama"), { heads, seed: 7 });
  });
});

describe("fills", () => {
  const documents = randomDocuments(8, 32, 70);
  it.each([
    ["lazy", "llama"],
    ["project", "llama"],
    ["project", "gemma3_text"], // norms of keys, and windows
    ["shared", "llama, shared keys and values"],
    ["project", "llama, shared keys and values"],
  ] as const)("%s, %s", async (fill, name) => {
    const fit = async (heads: ExitHeads): Promise<unknown> =>
      fill === "project" ? fitProjections(heads, documents, { sequenceLength: 32 }) : undefined;
    const heads = { exits: [1, 2, 3], kind: "linear" } as const;
    await comparedHeads(await small(name), { heads, policy: { fill }, seed: 70, prompts: 4, fit });
  });
});

it("the text that apps/export/README.md shows is that of the embedded model, driver and library", async () => {
  const page = await readText(join(import.meta.dirname, "../../apps/export/README.md"));
  const [, command, output] = /\$ node (exported\/onnxruntime-node\.mjs exported .*)\n([^`]*)```/.exec(page)!;
  const embedded = join(import.meta.dirname, "../../models/sotu-12");
  const model = await readModel(embedded, { device });
  const heads = await readHeads(join(embedded, "heads"), model);
  const policy = policyFrom(await readJson(join(embedded, "certificates/95.json")));
  await writeExport(work.path("exported"), await exportOnnx(heads, { policy }));
  const shown = execFileSync("node", command!.split(" "), { cwd: work.path(), encoding: "utf8" });
  expect(shown).toBe(output);
  const [ids, newTokens] = command!.split(" ").slice(2);
  const run = generate(heads, ids!.split(",").map(Number), { policy, maxNewTokens: Number(newTokens) });
  const lines: string[] = [];
  for await (const { id, depth } of run) lines.push(`${id}\tdepth ${depth}\n`);
  expect(lines.join("")).toBe(output);
  heads.dispose();
  model.dispose();
});
