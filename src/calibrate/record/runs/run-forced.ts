/**
 * The tokens of one policy on text that is given, where all tokens are argmaxes: the tokens that `generate` would
 * choose, bit for bit, but in a few passes of many rows in place of one round for every token. The text decides what
 * follows, so a position needs no other's token; it needs the keys and values below it, and those are there block by
 * block:
 *   1. all positions run to the first exit, which only the text decides: once for all policies
 *   2. those whose score passes leave, and the fill supplies their keys and values in the blocks above; with an exact
 *      fill they are those of the blocks themselves, so that these positions run on
 *   3. the others run to the next exit and attend to these; and so on, until the last block
 * Positions before the first that is judged are a prompt: it runs through all blocks, as `generate` runs it.
 */
import type { CancelSignal } from "../../../cancel-signal.js";
import { NumericsError } from "../../../errors.js";
import { fills } from "../../../exits/fill/fill.js";
import { confidencesIn, decide } from "../../../exits/heads/score.js";
import type { ExitHeads } from "../../../exits/heads/exit-heads.js";
import { createPolicy, type Policy } from "../../../exits/plan/policy.js";
import { disposeBatch, hiddenBatch } from "../../../exits/states/batches.js";
import { locatedIn, nonFiniteRow } from "../../../exits/states/finite-teacher.js";
import { outcomeOf } from "../../../exits/states/record-states.js";
import { nonFiniteError } from "../../../model/decode/non-finite.js";
import { type Model, Sequence, type Work } from "../../../model/index.js";
import { prefill, statesOf } from "../../../model/advance.js";
import type { Window } from "../../../model/documents.js";
import { ROW_STATS, scope } from "../../../tensor/index.js";
import { giveTurn, rowsPerTurn } from "../../../turns.js";
import type { Judge } from "../judge.js";
import type { PolicyRunner } from "./run-tokens.js";

interface ForcedToken {
  /** undefined if it ran all blocks. */
  readonly exit: number | undefined;
  readonly id: number;
}

type OnForced = (window: number, position: number, token: ForcedToken) => void;

/** A window under a policy. */
interface Lane {
  readonly window: Window;
  readonly index: number;
  readonly sequence: Sequence;
}

/** A position of a window under a policy. */
interface Place {
  readonly lane: Lane;
  readonly position: number;
}

/** Windows at the first exit, on which policies run one after another. */
interface ForcedWindows {
  readonly heads: ExitHeads;
  readonly windows: readonly Window[];
  readonly sequences: readonly Sequence[];
  readonly signal: CancelSignal | undefined;
  /** Statistics at all judged positions of the first exit, once a policy has asked. */
  first?: Float32Array;
}

export async function runnerAtOnce(
  heads: ExitHeads,
  windows: readonly Window[],
  { reference, other }: Judge,
  signal: CancelSignal | undefined,
): Promise<PolicyRunner> {
  const sequences = windows.map(({ ids }) => new Sequence(heads.model, ids.length));
  const dispose = () => {
    for (const sequence of sequences) sequence.dispose();
  };
  const forced: ForcedWindows = { heads, windows, sequences, signal };
  try {
    await runToFirst(forced);
    const right = other ? await tokensOf(reference, windows, signal) : await fullTokens(forced);
    return {
      run: (policy, onToken) =>
        runForced(forced, policy, (w, position, { exit, id }) => {
          onToken(w, { exit, loss: Number(id !== right[w]![position - windows[w]!.from]) });
        }),
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Prompts run through all blocks, judged positions to the first exit. */
async function runToFirst({ heads, windows, sequences, signal }: ForcedWindows): Promise<void> {
  const toDepth = async (depth: number) => {
    const work = sequences.map((sequence) => ({ sequence, positions: sequence.pending(depth) }));
    await prefill(heads.model, work, depth, { signal });
  };
  sequences.forEach((sequence, w) => sequence.append(...windows[w]!.ids.slice(0, windows[w]!.from)));
  await toDepth(heads.model.config.numLayers);
  sequences.forEach((sequence, w) => sequence.append(...windows[w]!.ids.slice(windows[w]!.from)));
  await toDepth(heads.depths[0]!);
}

async function tokensOf(
  model: Model,
  windows: readonly Window[],
  signal: CancelSignal | undefined,
): Promise<number[][]> {
  const batch = await hiddenBatch(model, windows, [], signal);
  try {
    const judged = windows.map(({ ids, from }) => ids.slice(from));
    const { argmax } = await locatedIn(model, judged, "calibrate", () => outcomeOf(model, batch.final, { signal }));
    let row = 0;
    return judged.map(({ length }) => Array.from(argmax.subarray(row, (row += length))));
  } finally {
    disposeBatch(batch);
  }
}

/** Runs one policy on copies of the windows. */
async function runForced(forced: ForcedWindows, policy: Policy, onToken: OnForced): Promise<void> {
  const { heads, windows, sequences, signal } = forced;
  const { model, depths } = heads;
  const { numLayers } = model.config;
  const fill = fills[policy.fill];
  const runOn = (places: readonly Place[], depth: number) => prefill(model, runsOf(places), depth, { signal });
  const lanes: Lane[] = [];
  try {
    for (const [index, window] of windows.entries()) lanes.push({ window, index, sequence: sequences[index]!.clone() });
    // With an exact fill, those that left run on too: their keys and values count.
    let running = lanes.flatMap(judgedPlaces);
    let staying = running;
    for (const [exit, { threshold }] of policy.exits.entries()) {
      if (threshold === "never" || staying.length === 0) continue;
      const depth = depths[exit]!;
      await runOn(running, depth);
      const stats = (exit === 0 ? forced.first : undefined) ?? (await statsAt(heads, exit, staying, signal));
      if (exit === 0) forced.first = stats;
      const confidences = confidencesIn(stats);
      const { left } = decide(confidences, policy.score, threshold);
      for (const [r, { lane, position }] of staying.entries()) {
        if (!left[r]) continue;
        onToken(lane.index, position, { exit, id: confidences[r]!.argmax });
        if (fill.exact || depth === numLayers) continue;
        await giveTurn(signal);
        fill.apply(heads, lane.sequence, position, exit);
      }
      staying = staying.filter((_, r) => !left[r]);
      if (!fill.exact) running = staying;
    }
    if (staying.length === 0) return;
    await runOn(running, numLayers);
    await emitFull(model, staying, onToken, signal);
  } finally {
    for (const { sequence } of lanes) sequence.dispose();
  }
}

async function fullTokens(forced: ForcedWindows): Promise<number[][]> {
  const { heads, windows } = forced;
  const tokens = windows.map((): number[] => []);
  const never = createPolicy(
    heads,
    heads.depths.map(() => "never"),
  );
  await runForced(forced, never, (window, _, { id }) => tokens[window]!.push(id));
  return tokens;
}

/** The statistics [R, 5] of an exit's head at places that stand at its depth, lane by lane. */
async function statsAt(
  { heads }: ExitHeads,
  exit: number,
  places: readonly Place[],
  signal: CancelSignal | undefined,
): Promise<Float32Array> {
  const head = heads[exit]!;
  const stats = new Float32Array(places.length * ROW_STATS.width);
  const { vocabSize, hiddenSize } = head.model.config;
  const step = rowsPerTurn(vocabSize * hiddenSize);
  for (let begin = 0; begin < places.length; begin += step) {
    await giveTurn(signal);
    const some = places.slice(begin, begin + step);
    const states = scope(() => statesOf(runsOf(some)));
    const logits = await head.logits(states);
    states.dispose();
    const own = await head.stats(logits);
    logits.dispose();
    const broken = nonFiniteRow(own, "top1");
    if (broken !== undefined) {
      const what = `the logits of exit ${exit}`;
      throw await nonFiniteError(head.model, seenAt(some[broken]!), { what, depth: head.depth, caller: "calibrate" });
    }
    stats.set(own, begin * ROW_STATS.width);
  }
  return stats;
}

async function emitFull(
  model: Model,
  open: readonly Place[],
  onToken: OnForced,
  signal: CancelSignal | undefined,
): Promise<void> {
  const states = scope(() => statesOf(runsOf(open)));
  try {
    const { argmax } = await outcomeOf(model, states, { signal });
    for (const [r, { lane, position }] of open.entries()) {
      onToken(lane.index, position, { exit: undefined, id: argmax[r]! });
    }
  } catch (error) {
    if (!(error instanceof NumericsError)) throw error;
    const seen = seenAt(open[Number(error.details["row"])]!);
    throw await nonFiniteError(model, seen, { what: "the logits of the full model", caller: "calibrate" });
  } finally {
    states.dispose();
  }
}

function seenAt({ lane, position }: Place): readonly number[] {
  return lane.window.ids.slice(0, position + 1);
}

function judgedPlaces(lane: Lane): Place[] {
  const { ids, from } = lane.window;
  return Array.from({ length: ids.length - from }, (_, i) => ({ lane, position: from + i }));
}

/** Runs of consecutive positions, lane by lane. */
function runsOf(places: readonly Place[]): Work[] {
  const runs: { readonly sequence: Sequence; readonly positions: number[] }[] = [];
  for (const { lane, position } of places) {
    const last = runs.at(-1);
    if (last?.sequence === lane.sequence && last.positions.at(-1) === position - 1) last.positions.push(position);
    else runs.push({ sequence: lane.sequence, positions: [position] });
  }
  return runs;
}
