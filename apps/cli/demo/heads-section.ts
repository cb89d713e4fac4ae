/**
 * Section 2: heads trained for a given time, compared with the full model before and after. If the model's folder has
 * heads at the same depths that were trained longer, the later sections use those.
 */
import { join } from "node:path";
import { attachHeads, type ExitHeads, trainHeads, type TrainStep } from "early-exits";
import { playPolicy, recordDocuments } from "early-exits/calibrate";
import { fileExists, readHeads } from "early-exits/node";
import { percent } from "../format.js";
import { type ReportProgress, withProgress } from "../progress.js";
import { type Demo, embeddedHeads } from "./demo.js";

const HELD_OUT = 8;
/** Training ends after this many times its planned seconds: other programs may have the processor. */
const PATIENCE = 1.6;
const FEWEST_STEPS = 8;
const MOST_STEPS = 600;

export interface DemoHeads {
  readonly fresh: ExitHeads;
  readonly shipped: ExitHeads | undefined;
  /** Heads of the later sections. */
  readonly used: ExitHeads;
}

/** A number of exits asks for heads of one's own, so the folder's are left out. */
export async function attachDemoHeads({ folder, model, exits }: Demo, defaultExits: number): Promise<DemoHeads> {
  const hasHeads = exits === undefined && (await fileExists(join(folder, "heads", "heads.json")));
  const shipped = hasHeads ? await readHeads(join(folder, "heads"), model) : undefined;
  const depths = shipped?.depths ?? exits ?? defaultExits;
  const fresh = attachHeads(model, { exits: depths, dtype: embeddedHeads.dtype });
  return { fresh, shipped, used: shipped ?? fresh };
}

export type HeadsSection = Awaited<ReturnType<typeof trainDemoHeads>>;

/** Agreement by head: before and after training, and of the folder's heads. */
export async function trainDemoHeads(demo: Demo, { fresh, shipped }: DemoHeads) {
  const held = demo.documents.test.slice(0, HELD_OUT).map(({ text }) => text);
  const before = await agreementOn(fresh, held);
  const training = await trainFor(demo, fresh);
  const after = await agreementOn(fresh, held);
  const longer = shipped && (await agreementOn(shipped, held));
  return { training, heldOut: held.length, before, after, longer };
}

/** Share of tokens at which a head's argmax is the full model's. */
async function agreementOn(heads: ExitHeads, documents: readonly string[]): Promise<number[]> {
  const records = await recordDocuments(heads, documents);
  return heads.depths.map((_, chosen) => {
    const exits = heads.depths.map((depth, exit) => ({
      depth,
      threshold: exit === chosen ? ("always" as const) : ("never" as const),
    }));
    return playPolicy(records, { score: "margin", exits }).agreement;
  });
}

/** A trial shows how many steps take `seconds`. */
async function trainFor(demo: Demo, heads: ExitHeads) {
  const { documents, model, seed, seconds, io } = demo;
  const ids = documents.train.map(({ text }) => model.tokenizer.encode(text));
  const schedule = await scheduleFor(demo, heads.depths, ids);
  const events: TrainStep[] = [];
  const started = io.now();
  const late = new AbortController();
  const onStep = (event: TrainStep, report: ReportProgress): Promise<void> => {
    events.push(event);
    if (event.step < schedule.steps && io.now() - started > PATIENCE * 1000 * seconds) late.abort();
    return report({ done: event.step, total: schedule.steps, timeLeft: event.timeLeft, text: stateOf(events) });
  };
  const work = withProgress(io, "train", (report) =>
    trainHeads(heads, ids, {
      ...schedule,
      learningRate: 2e-3,
      loss: embeddedHeads.loss,
      seed,
      signal: AbortSignal.any([io.signal, late.signal]),
      now: io.now,
      onStep: (event) => onStep(event, report),
    }),
  );
  await work.catch((error: unknown) => {
    if (!late.signal.aborted || io.signal.aborted) throw error; // heads keep what they learned
  });
  const took = (io.now() - started) / 1000;
  const { tokensPerSecond } = events.at(-1)!;
  return { steps: events.length, tokens: Math.round(tokensPerSecond * took), seconds: took, tokensPerSecond };
}

async function scheduleFor(
  { model, seconds, io }: Demo,
  depths: readonly number[],
  ids: readonly (readonly number[])[],
) {
  const sequenceLength = Math.min(128, model.config.maxPositionEmbeddings);
  const trial = attachHeads(model, { exits: depths });
  const marks: number[] = [];
  await trainHeads(trial, ids, { steps: 3, batchSize: 1, sequenceLength, onStep: () => marks.push(io.now()) });
  trial.dispose();
  const secondsPerWindow = Math.max(1e-4, (marks[2]! - marks[1]!) / 1000);
  const windows = Math.max(FEWEST_STEPS, seconds / secondsPerWindow);
  const batchSize = Math.min(8, Math.max(1, Math.round(windows / 100)));
  const steps = Math.min(MOST_STEPS, Math.max(FEWEST_STEPS, Math.floor(windows / batchSize)));
  return { steps, batchSize, sequenceLength };
}

/** Loss of the last step, mean agreement over the last ten. */
function stateOf(events: readonly TrainStep[]): string {
  const recent = events.slice(-10);
  const shares = recent[0]!.agreement.map((_, head) =>
    percent(recent.reduce((sum, { agreement }) => sum + agreement[head]! / recent.length, 0)),
  );
  return `loss ${events.at(-1)!.loss.toFixed(3)}, agreement ${shares.join(" ")}`;
}
