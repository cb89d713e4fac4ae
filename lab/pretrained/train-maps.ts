/**
 * Teaches linear heads on recorded states: a closed-form fit, then KL on a list of frequent tokens. The states were
 * recorded from the model as it is used (int8); the heads learn beside the same model in float32, whose gradients are
 * not rounded.
 */
import { appendFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { attachHeads, type ExitHeads, type Model, trainHeads } from "early-exits";
import {
  type BatchSource,
  cachedBatches,
  fitMaps,
  frequentTokens,
  measureExits,
  type ExitQuality,
  recordHidden,
} from "early-exits/exits";
import { folderStore, writeFileAtomic } from "early-exits/node";
import { type Answer, documentOf } from "./answers.js";
import { joinSources } from "./join-sources.js";

/** Positions in a training step. */
const ROWS = 512;
/** Tokens that the loss compares. */
const LISTED = 8192;
/** Positions from which maps are fitted. */
const FIT_POSITIONS = 150_000;

/** Recorded answers. */
export interface AnswerSet {
  readonly answers: readonly Answer[];
  /** The folder of their states. */
  readonly states: string;
}

interface MapRecipe {
  /** Depths of the heads. */
  readonly depths: readonly number[];
  readonly epochs: number;
  readonly learningRate: number;
  /** The folder of checkpoint and log. */
  readonly folder: string;
}

/** Records what sampling has not recorded, with the model as it is used. */
export async function completeStates(model: Model, { answers, states }: AnswerSet, depths: readonly number[]) {
  await rm(join(states, "cache.json"), { force: true }); // more answers may have come since
  const started = performance.now();
  let rows = 0;
  await recordHidden(model, answers.map(documentOf), depths, folderStore(states), {
    onShard({ shard, shards, reused, rows: own }) {
      if (reused) return;
      rows += own;
      const speed = (1000 * rows) / (performance.now() - started);
      console.error(`${states}: shard ${shard + 1} of ${shards}, ${speed.toFixed(0)} positions/s`);
    },
  });
}

/** Agreement and coverage at one depth before any training, by how the head begins. */
export interface DepthStart {
  /** The model's norm and unembedding at that depth; nothing is fitted. */
  readonly lens: ExitQuality;
  /** A linear map in closed form, and then the same. */
  readonly fitted: ExitQuality;
}

/** Beginning of heads at these depths, without training, measured on the answers held out. */
export async function measureStarts(
  model: Model,
  sets: readonly AnswerSet[],
  held: AnswerSet,
  depths: readonly number[],
): Promise<DepthStart[]> {
  const source = await joinedSource(model, sets, depths);
  const heldSource = await openSource(model, held, depths);
  const lens = attachHeads(model, { exits: depths, kind: "linear", dtype: "int8" });
  const fitted = attachHeads(model, { exits: depths, kind: "linear", dtype: "int8" });
  await fitMaps(fitted, source, { positions: FIT_POSITIONS });
  const [untouched, start] = [await measureExits(lens, heldSource), await measureExits(fitted, heldSource)];
  lens.dispose();
  fitted.dispose();
  return depths.map((_, i) => ({ lens: untouched[i]!, fitted: start[i]! }));
}

async function openSource(model: Model, set: AnswerSet, depths: readonly number[]): Promise<BatchSource> {
  return cachedBatches(model, depths, folderStore(set.states), { rows: ROWS, seed: 1 });
}

async function joinedSource(model: Model, sets: readonly AnswerSet[], depths: readonly number[]): Promise<BatchSource> {
  return joinSources(await Promise.all(sets.map((set) => openSource(model, set, depths))), 1);
}

/** Trains heads of kind `linear` on the recorded sets; continues from the checkpoint in the folder. */
export async function trainMaps(
  model: Model,
  sets: readonly AnswerSet[],
  held: AnswerSet,
  { depths, epochs, learningRate, folder }: MapRecipe,
): Promise<ExitHeads> {
  const source = await joinedSource(model, sets, depths);
  const heldSource = await openSource(model, held, depths);
  const documents = sets.flatMap(({ answers }) => answers.map(documentOf));
  const list = await frequentTokens(model, documents, LISTED, { positions: 0, countText: true });
  const heads = attachHeads(model, { exits: depths, kind: "linear", dtype: "int8" });
  const checkpoint = join(folder, "checkpoint.safetensors");
  const resume = await readFile(checkpoint).catch(() => undefined);
  if (resume === undefined) {
    await fitMaps(heads, source, { positions: FIT_POSITIONS });
    await log(folder, { step: 0, exits: await measureExits(heads, heldSource) });
  }
  const steps = Math.round(epochs * source.batchesPerEpoch!);
  await trainHeads(heads, source, {
    steps,
    learningRate,
    list,
    held: heldSource,
    measureEvery: 500,
    seed: 1,
    ...(resume && { resume }),
    checkpointEvery: 200,
    onCheckpoint: (bytes) => writeFileAtomic(checkpoint, bytes),
    onStep({ step, loss, agreement, tokensPerSecond }) {
      if (step % 20 !== 0) return;
      const shares = agreement.map((share) => share.toFixed(3)).join(" ");
      console.error(
        `step ${step}/${steps}: loss ${loss.toFixed(3)}, agreement ${shares}, ${tokensPerSecond.toFixed(0)}/s`,
      );
    },
    onMeasure: ({ step, exits }) => log(folder, { step, exits }),
  });
  return heads;
}

/** A line of the log of a training. */
export interface CurvePoint {
  readonly step: number;
  readonly exits: readonly ExitQuality[];
}

const LOG = "training-log.jsonl";

/** Measurements taken while maps were trained in the folder. */
export async function readCurve(folder: string): Promise<CurvePoint[]> {
  const lines = (await readFile(join(folder, LOG), "utf8")).split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as CurvePoint);
}

async function log(folder: string, line: CurvePoint): Promise<void> {
  const path = join(folder, LOG);
  if (line.step === 0) await writeFile(path, "");
  await appendFile(path, `${JSON.stringify(line)}\n`);
  for (const { depth, agreement, levels } of line.exits) {
    const shares = levels.map(({ level, coverage }) => `${level} ${coverage.toFixed(3)}`).join(", ");
    console.error(`step ${line.step}, held out: depth ${depth} agrees ${agreement.toFixed(3)}; may leave ${shares}`);
  }
}
