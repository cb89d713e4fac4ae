/**
 * Lossless ways of decoding side by side, on the same heads and prompts: plain greedy, LayerSkip's fixed exit with a fixed draft length,
 * dynamic exits, prompt lookup. Settings are chosen on tuning prompts by counted work at measured unit times, and judged on others, by
 * wall clock of interleaved runs. And a simulation: heads whose drafts are right with a set probability, against the formula
 *   tokens per round (1 - α^(γ+1)) / (1 - α),   time per round γ · draft + verification of γ + 1 rows.
 * Alone: `npx tsx bench/lossless.ts [--model FOLDER] [--exits 3,5] [--kind dense] [--steps 300] [--prompts 12] [--tokens 64] [--only NAME]`.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  attachHeads, createPolicy, createRng, type ExitHeads, generate, type GenerateOptions, type GenerateSummary, type HeadKind, headKinds, measureUnitTimes, type Policy, predictTime, type Threshold, trainHeads, Tensor, type UnitTimes,
} from "early-exits";
import { createDevice, readJson, readModel } from "early-exits/node";
import { leaveEarly } from "../src/exits/decode.js";
import { draftPlans } from "../src/exits/draft-length.js";
import { countedCosts } from "../src/exits/unit-costs.js";
import { type Drafter, losslessDecoder } from "../src/exits/speculate.js";
import { generateWith } from "../src/model/generate.js";
import { describeMachine, machine } from "./measure.js";
import { benchShapes, randomModel } from "./models.js";
import { type Report, type Table, toMarkdown, writeReport } from "./report.js";
import { drain, type Timing, timingOf } from "./timing.js";

export interface LosslessBenchOptions {
  readonly out: string;
  readonly model: string;
  readonly exits: readonly number[];
  readonly kind: HeadKind;
  /** Of training the heads. */
  readonly steps: number;
  /** For tuning and for judging, each. */
  readonly prompts: number;
  readonly tokens: number;
  readonly only?: "ways" | "simulation" | undefined;
}

export const losslessDefaults: LosslessBenchOptions = {
  out: fileURLToPath(new URL("reports", import.meta.url)), model: fileURLToPath(new URL("../models/sotu-12", import.meta.url)), exits: [3, 6], kind: "dense", steps: 300, prompts: 12, tokens: 64,
};

type Settings = Pick<GenerateOptions, "policy" | "lossless">;
interface Way extends Settings {
  readonly name: string;
  readonly setting: string;
}
type Prompts = readonly (readonly number[])[];

const DRAFT_LENGTHS = [1, 2, 3, 4, 6, 8];
const PRODUCTS = [0.15, 0.25, 0.35, 0.5, 0.65];
const PROBABILITIES: readonly Threshold[] = ["never", 0.75, 0.6, 0.45, 0.3, 0.15, "always"];

async function run(heads: ExitHeads, prompt: readonly number[], settings: Settings, tokens: number): Promise<GenerateSummary> {
  const generation = generate(heads, prompt, { ...settings, maxNewTokens: tokens, stopAtEndOfText: false });
  await drain(generation);
  return generation.summary;
}

/** The candidate whose counted work takes the least predicted time on the prompts. */
async function best(heads: ExitHeads, prompts: Prompts, candidates: readonly Way[], units: UnitTimes, tokens: number): Promise<Way> {
  let [chosen, least]: [Way | undefined, number] = [undefined, Infinity];
  for (const candidate of candidates) {
    let time = 0;
    for (const prompt of prompts) time += predictTime((await run(heads, prompt, candidate, tokens)).ledger, units);
    if (time < least) [chosen, least] = [candidate, time];
  }
  return chosen!;
}

/** One exit that always drafts, so many tokens a round: exit layer and draft length are what LayerSkip tunes. */
function fixedExits(heads: ExitHeads): Way[] {
  return heads.depths.flatMap((depth, exit) => DRAFT_LENGTHS.map((draftLimit) => ({
    name: "fixed exit (LayerSkip)", setting: `depth ${depth}, ${draftLimit} drafts`, lossless: { draftLimit },
    policy: createPolicy(heads, heads.depths.map((_, i) => (i === exit ? "always" : "never")), { score: "maxProb" }),
  })));
}

/** Thresholds one exit after the other, the others as found so far; draft length adaptive, or the best fixed one for these thresholds. */
async function tuneDynamic(heads: ExitHeads, prompts: Prompts, units: UnitTimes, tokens: number): Promise<Way> {
  const way = (thresholds: readonly Threshold[], draftLimit: number | "adaptive"): Way => ({
    name: "dynamic exits", setting: `max probability ${thresholds.join(", ")}; ${draftLimit === "adaptive" ? "adaptive length" : `${draftLimit} drafts`}`,
    policy: createPolicy(heads, thresholds, { score: "maxProb" }), lossless: { draftLimit, costs: units },
  });
  let thresholds: readonly Threshold[] = heads.depths.map(() => 0.6);
  let chosen = way(thresholds, "adaptive");
  for (let pass = 0; pass < 2; pass++) {
    for (const exit of heads.depths.keys()) {
      const grid = PROBABILITIES.map((probability) => thresholds.map((threshold, i) => (i === exit ? probability : threshold)));
      chosen = await best(heads, prompts, grid.map((candidate) => way(candidate, "adaptive")), units, tokens);
      thresholds = chosen.policy!.exits.map(({ threshold }) => threshold);
    }
  }
  // Or drafting at one exit while the product of its probabilities is large enough: sure tokens give long drafts, unsure ones end them.
  const products = heads.depths.flatMap((depth, exit) => PRODUCTS.map((minProduct): Way => ({
    name: chosen.name, setting: `depth ${depth} while the product of probabilities is at least ${minProduct}`, lossless: { draftLimit: 8, minProduct },
    policy: createPolicy(heads, heads.depths.map((_, i) => (i === exit ? "always" : "never")), { score: "maxProb" }),
  })));
  return best(heads, prompts, [chosen, ...DRAFT_LENGTHS.map((length) => way(thresholds, length)), ...products], units, tokens);
}

function lookups(units: UnitTimes): Way[] {
  return DRAFT_LENGTHS.flatMap((draftLimit) => [1, 2, 3].map((shortest) => ({ name: "prompt lookup", setting: `${shortest} to 3 tokens, ${draftLimit} drafts`, lossless: { draftLimit, promptLookup: { shortest }, costs: units } })));
}

interface Judged extends Way {
  /** Milliseconds per token, run by run. */
  readonly time: Timing;
  /** Against plain decoding, run by run. */
  readonly speedup: Timing;
  readonly predicted: number;
  readonly tokensPerRound: number;
  readonly acceptance: number;
  readonly blocks: number;
  readonly bytes: number;
}

/** Every way on every prompt, in turning order, several times over. */
async function judge(heads: ExitHeads, prompts: Prompts, ways: readonly Way[], units: UnitTimes, tokens: number): Promise<Judged[]> {
  const times = ways.map<number[]>(() => []);
  const summaries = ways.map<GenerateSummary[]>(() => []);
  for (let round = 0; round < 3; round++) {
    for (const [p, prompt] of prompts.entries()) {
      for (let i = 0; i < ways.length; i++) {
        const w = (i + p + round) % ways.length;
        const from = performance.now();
        const summary = await run(heads, prompt, ways[w]!, tokens);
        times[w]!.push((performance.now() - from) / tokens);
        if (round === 0) summaries[w]!.push(summary);
        if (summary.ids.join() !== summaries[w]![p]!.ids.join()) throw new Error(`bench: ${ways[w]!.name} repeated itself otherwise`);
      }
    }
  }
  return ways.map((way, w) => {
    const mine = summaries[w]!;
    if (mine.some(({ ids }, p) => ids.join() !== summaries[0]![p]!.ids.join())) throw new Error(`bench: ${way.name} is not lossless`);
    const total = (of: (summary: GenerateSummary) => number): number => mine.reduce((sum, summary) => sum + of(summary), 0);
    const all = tokens * prompts.length;
    return {
      ...way, time: timingOf(times[w]!), speedup: timingOf(times[w]!.map((time, i) => times[0]![i]! / time)), predicted: total(({ ledger }) => predictTime(ledger, units)) / all,
      tokensPerRound: all / total(({ rounds }) => rounds), acceptance: total(({ accepted }) => accepted) / total(({ drafted }) => drafted),
      blocks: total(({ ledger }) => ledger.decode.blocks) / all, bytes: total(({ ledger }) => ledger.decode.weightBytes) / all,
    };
  });
}

/** What verifying so many rows takes, and of that each row, against one. */
function passTable(name: string, { block, finalHead }: UnitTimes, numLayers: number): Table {
  const one = numLayers * block[0]!.cost + finalHead[0]!.cost;
  return {
    title: `Passes of a few rows, ${name}`, note: "All blocks and the final head, read back, at 64 cached positions; medians. Verifying k drafts is a pass of k + 1 rows.",
    columns: ["rows", "blocks, µs", "final head, µs", "per row / one row"],
    rows: block.map(({ rows, cost }, i) => [rows, 1000 * numLayers * cost, 1000 * finalHead[i]!.cost, (numLayers * cost + finalHead[i]!.cost) / rows / one]),
  };
}

async function compareWays({ model: folder, exits, kind, steps, prompts: count, tokens }: LosslessBenchOptions): Promise<{ tables: readonly Table[]; data: unknown }> {
  const device = await createDevice("wasm");
  const model = await readModel(folder, { device });
  const documents = (await readJson(`${folder}/documents.json`)) as Record<"train" | "calibration" | "test", readonly { readonly text: string }[]>;
  const heads = attachHeads(model, { exits, kind });
  await trainHeads(heads, documents.train.map(({ text }) => text), { steps });
  const promptsOf = (part: "calibration" | "test"): Prompts => documents[part].slice(0, count).map(({ text }) => model.tokenizer.encode(text).slice(0, 24));
  const units = await measureUnitTimes(heads);
  const tuning = promptsOf("calibration");
  const ways: Way[] = [{ name: "plain greedy", setting: "" }];
  ways.push(await best(heads, tuning, fixedExits(heads), units, tokens), await tuneDynamic(heads, tuning, units, tokens), await best(heads, tuning, lookups(units), units, tokens));
  console.error(ways.map(({ name, setting }) => `${name}: ${setting}`).join("\n"));
  const judged = await judge(heads, promptsOf("test"), ways, units, tokens);
  await device.dispose();
  const name = folder.split("/").filter((part) => part !== "").at(-1)!;
  return {
    data: { units, judged: judged.map(({ policy, ...rest }) => ({ ...rest, policy })) },
    tables: [{
      title: `Lossless ways of decoding, ${name}`,
      note: `${kind} heads at depths ${exits.join(", ")} of ${model.config.numLayers}, ${steps} steps; ${tokens} new tokens after each of ${count} prompts of 24 tokens, other prompts than those the settings were chosen on; the outputs were equal. Per token; medians of 3 interleaved runs; "ms by counts" is the counted work at unit times measured beforehand; speed-up is time of plain greedy / time, run by run.`,
      columns: ["way", "chosen setting", "tokens/round", "accepted", "blocks", "MB of weights", "ms by counts", "ms", "speed-up", "quartiles"],
      rows: judged.map((way) => [
        way.name, way.setting, way.tokensPerRound, Number.isNaN(way.acceptance) ? "" : `${(100 * way.acceptance).toFixed(1)} %`, way.blocks, way.bytes / 1e6, way.predicted, way.time.median,
        way.speedup.median, `${way.speedup.lowerQuartile.toFixed(2)} to ${way.speedup.upperQuartile.toFixed(2)}`,
      ]),
    }, passTable(name, units, model.config.numLayers)],
  };
}

/** Drafts for real (blocks, head, reading back), and then replaces the token: right with probability alpha. */
function oracle(heads: ExitHeads, policy: Policy, truth: readonly number[], alpha: number, seed: number): Drafter {
  const rng = createRng(seed);
  const { vocabSize } = heads.model.config;
  return async (requests) => (await leaveEarly(heads, policy, requests)).map((token, i) => {
    const right = truth[requests[i]!.sequence.length]!;
    return token && { ...token, id: rng.uniform() < alpha ? right : (right + 1) % vocabSize };
  });
}

const SIMULATED = { shape: "llama 110M", depth: 4, draftLimit: 4, tokens: 120, prompt: 32 } as const;

/** Lossless decoding of a model of 110 M random weights with an oracle's drafts, against what the formula says of it. */
async function simulate(): Promise<{ tables: readonly Table[]; data: unknown }> {
  const device = await createDevice("wasm");
  const model = await randomModel(benchShapes[SIMULATED.shape]!, device);
  const { numLayers, hiddenSize, vocabSize } = model.config;
  const heads = attachHeads(model, { exits: [SIMULATED.depth], kind: "lowRank" });
  const rng = createRng(3);
  const noise = (shape: readonly number[]): Tensor => Tensor.from(device, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.05 * rng.normal()), shape);
  const inner = heads.heads[0]!.shape.inner;
  heads.heads[0]!.weights = { normGain: Tensor.from(device, new Float32Array(hiddenSize).fill(1)), down: noise([inner, hiddenSize]), up: noise([vocabSize, inner]) };
  await heads.freeze();
  const policy = createPolicy(heads, "always");
  const { draftLimit, tokens } = SIMULATED;
  const prompt = Array.from({ length: SIMULATED.prompt }, (_, i) => (i * 7919 + 13) % vocabSize);
  const options = { maxNewTokens: tokens, stopAtEndOfText: false };
  const truth = [...prompt, ...(await run(heads, prompt, {}, tokens)).ids];
  const alphas = [0.6, 0.8, 0.9];
  const samples: { plain: number[]; drafts: number[]; verifications: number[]; lossless: number[][] } = { plain: [], drafts: [], verifications: [], lossless: alphas.map(() => []) };
  const yields = alphas.map(() => ({ tokens: 0, rounds: 0 }));
  for (let round = 0; round < 7; round++) {
    for (const [a, alpha] of alphas.entries()) {
      const units = await stepTimes(heads, policy, truth.slice(0, prompt.length + tokens / 2), draftLimit);
      samples.drafts.push(units.draft);
      samples.verifications.push(units.verification);
      const decoder = losslessDecoder(model, oracle(heads, policy, truth, alpha, 100 * round + a), draftPlans(numLayers, countedCosts(model.config), { draftLimit }));
      const generation = generateWith(model, prompt, options, decoder);
      await drain(generation);
      if (generation.summary.ids.join() !== truth.slice(prompt.length).join()) throw new Error("bench: the simulation is not lossless");
      samples.lossless[a]!.push(1000 / generation.summary.tokensPerSecond);
      yields[a]!.tokens += generation.summary.newTokens;
      yields[a]!.rounds += generation.summary.rounds;
    }
    samples.plain.push(1000 / (await run(heads, prompt, {}, tokens)).tokensPerSecond);
  }
  await device.dispose();
  const [draft, verification, plain] = [timingOf(samples.drafts).median, timingOf(samples.verifications).median, timingOf(samples.plain).median];
  const rows = alphas.map((alpha, a) => {
    const perRound = (1 - alpha ** (draftLimit + 1)) / (1 - alpha);
    const predicted = (draftLimit * draft + verification) / perRound;
    const measured = timingOf(samples.lossless[a]!).median;
    return { alpha, perRound, seen: yields[a]!.tokens / yields[a]!.rounds, predicted, measured, reached: predicted / measured, speedup: plain / measured };
  });
  return {
    data: { samples, draft, verification, plain, rows },
    tables: [{
      title: "Simulation: an oracle's drafts on a model of 110 M random weights",
      note: `No real head: drafting is done and paid for at depth ${SIMULATED.depth} of ${numLayers} with a low-rank head, then its token is replaced by one that is right with the set probability. ${draftLimit} drafts a round, ${tokens} tokens, medians of 7 interleaved runs. One draft step ${draft.toFixed(2)} ms, one verification of ${draftLimit + 1} rows ${verification.toFixed(2)} ms, a plain token ${plain.toFixed(2)} ms. Tokens per round are cut a little by the last round.`,
      columns: ["acceptance", "tokens/round, formula", "seen", "ms/token, formula", "measured", "speed reached", "speed-up over plain"],
      rows: rows.map(({ alpha, perRound, seen, predicted, measured, reached, speedup }) => [alpha, perRound, seen, predicted, measured, `${(100 * reached).toFixed(0)} %`, speedup]),
    }],
  };
}

/** Milliseconds of one draft step and of one verification with so many drafts, as a decoder's round spends them. */
async function stepTimes(heads: ExitHeads, policy: Policy, ids: readonly number[], drafts: number): Promise<{ draft: number; verification: number }> {
  const { model } = heads;
  let [drafting, ended] = [0, 0];
  const decoder = losslessDecoder(model, async (requests) => {
    const from = performance.now();
    const tokens = await leaveEarly(heads, policy, requests);
    ended = performance.now();
    drafting += ended - from;
    return tokens;
  }, draftPlans(model.config.numLayers, countedCosts(model.config), { draftLimit: drafts }));
  const generation = generateWith(model, ids, { maxNewTokens: drafts + 1, stopAtEndOfText: false }, decoder)[Symbol.asyncIterator]();
  await generation.next();
  const verification = performance.now() - ended;
  await generation.return?.();
  return { draft: drafting / drafts, verification };
}

export async function losslessReport(options: LosslessBenchOptions): Promise<Report> {
  const where = machine();
  const parts = [...(options.only === "simulation" ? [] : [await compareWays(options)]), ...(options.only === "ways" ? [] : [await simulate()])];
  const report: Report = { name: "lossless", title: "Lossless decoding", machine: where, data: parts.map(({ data }) => data), tables: parts.flatMap(({ tables }) => tables) };
  await writeReport(options.out, report);
  return report;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: Object.fromEntries([...Object.keys(losslessDefaults), "only"].map((name) => [name, { type: "string" as const }])) });
  const number = (name: "steps" | "prompts" | "tokens"): number => Number(values[name] ?? losslessDefaults[name]);
  const kind = headKinds.find((name) => name === values["kind"]) ?? losslessDefaults.kind;
  console.error(describeMachine(machine()));
  console.log(toMarkdown(await losslessReport({
    out: values["out"] ?? losslessDefaults.out, model: values["model"] ?? losslessDefaults.model, exits: values["exits"]?.split(",").map(Number) ?? losslessDefaults.exits, kind,
    steps: number("steps"), prompts: number("prompts"), tokens: number("tokens"), only: values["only"] as LosslessBenchOptions["only"],
  })));
}
