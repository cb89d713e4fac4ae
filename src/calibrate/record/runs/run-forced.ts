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
import { confidenceAt, confidencesIn, leaveAtFirst } from "../../../exits/heads/score.js";
import type { ExitHead } from "../../../exits/heads/exit-head.js";
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

export async function runnerAtOnce(
  heads: ExitHeads,
  windows: readonly Window[],
  { reference, other }: Judge,
  signal: CancelSignal | undefined,
): Promise<PolicyRunner> {
  const forced = await ForcedWindows.start(heads, windows, signal);
  try {
    const right = await (other ? tokensOf(reference, windows, signal) : forced.fullTokens());
    return {
      run: (policy, onToken) =>
        forced.run(policy, (w, position, { exit, id }) => {
          onToken(w, { exit, loss: Number(id !== right[w]![position - windows[w]!.from]) });
        }),
      dispose: () => {
        forced.dispose();
      },
    };
  } catch (error) {
    forced.dispose();
    throw error;
  }
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

/** Windows at the first exit, on which policies run one after another. */
export class ForcedWindows {
  readonly #heads: ExitHeads;
  readonly #windows: readonly Window[];
  readonly #sequences: readonly Sequence[];
  readonly #signal: CancelSignal | undefined;
  /** At all judged positions of the first exit. */
  #first: Float32Array | undefined;

  private constructor(
    heads: ExitHeads,
    windows: readonly Window[],
    sequences: readonly Sequence[],
    signal: CancelSignal | undefined,
  ) {
    this.#heads = heads;
    this.#windows = windows;
    this.#sequences = sequences;
    this.#signal = signal;
  }

  /** Dispose of the result. */
  static async start(heads: ExitHeads, windows: readonly Window[], signal?: CancelSignal): Promise<ForcedWindows> {
    const { model } = heads;
    const sequences = windows.map(({ ids }) => new Sequence(model, ids.length));
    const toDepth = async (depth: number): Promise<void> => {
      const work = sequences.map((sequence) => ({ sequence, positions: sequence.pending(depth) }));
      await prefill(model, work, depth, { signal });
    };
    try {
      sequences.forEach((sequence, w) => sequence.append(...windows[w]!.ids.slice(0, windows[w]!.from)));
      await toDepth(model.config.numLayers);
      sequences.forEach((sequence, w) => sequence.append(...windows[w]!.ids.slice(windows[w]!.from)));
      await toDepth(heads.depths[0]!);
      return new ForcedWindows(heads, windows, sequences, signal);
    } catch (error) {
      for (const sequence of sequences) sequence.dispose();
      throw error;
    }
  }

  /** Runs one policy on copies of the windows. */
  async run(policy: Policy, onToken: OnForced): Promise<void> {
    const { model, depths } = this.#heads;
    const { numLayers } = model.config;
    const fill = fills[policy.fill];
    const lanes: Lane[] = [];
    try {
      for (const [index, window] of this.#windows.entries()) {
        lanes.push({ window, index, sequence: this.#sequences[index]!.clone() });
      }
      // With an exact fill, those that left run on too: their keys and values count.
      let running = lanes.flatMap(judgedPlaces);
      const staying = await leaveAtFirst(policy, running, async (exit, open) => {
        const depth = depths[exit]!;
        await this.#runOn(running, depth);
        const stats = exit === 0 ? (this.#first ??= await this.#statsAt(0, open)) : await this.#statsAt(exit, open);
        return {
          confidences: confidencesIn(stats),
          leave: async (left) => {
            for (const [r, { lane, position }] of open.entries()) {
              if (!left[r]) continue;
              onToken(lane.index, position, { exit, id: confidenceAt(stats, r).argmax });
              if (fill.exact || depth === numLayers) continue;
              await giveTurn(this.#signal);
              fill.apply(this.#heads, lane.sequence, position, exit);
            }
            if (!fill.exact) running = open.filter((_, r) => !left[r]);
          },
        };
      });
      if (staying.length === 0) return;
      await this.#runOn(running, numLayers);
      await this.#emitFull(staying, onToken);
    } finally {
      for (const { sequence } of lanes) sequence.dispose();
    }
  }

  async fullTokens(): Promise<number[][]> {
    const tokens = this.#windows.map((): number[] => []);
    const never = createPolicy(
      this.#heads,
      this.#heads.depths.map(() => "never"),
    );
    await this.run(never, (window, _, { id }) => tokens[window]!.push(id));
    return tokens;
  }

  dispose(): void {
    for (const sequence of this.#sequences) sequence.dispose();
  }

  /** Runs places to a depth; those between them are complete. */
  #runOn(places: readonly Place[], depth: number): Promise<void> {
    return prefill(this.#heads.model, runsOf(places), depth, { signal: this.#signal });
  }

  /** The statistics [R, 5] of an exit's head at places, lane by lane. */
  async #statsAt(exit: number, places: readonly Place[]): Promise<Float32Array> {
    const head = this.#heads.heads[exit]!;
    const stats = new Float32Array(places.length * ROW_STATS.width);
    const { vocabSize, hiddenSize } = head.model.config;
    const step = rowsPerTurn(vocabSize * hiddenSize);
    for (let begin = 0; begin < places.length; begin += step) {
      await giveTurn(this.#signal);
      const some = places.slice(begin, begin + step);
      const own = await statsOf(head, runsOf(some));
      const broken = nonFiniteRow(own, "top1");
      if (broken !== undefined) {
        const { lane, position } = some[broken]!;
        const what = `the logits of exit ${exit}`;
        const seen = lane.window.ids.slice(0, position + 1);
        throw await nonFiniteError(head.model, seen, { what, depth: head.depth, caller: "calibrate" });
      }
      stats.set(own, begin * ROW_STATS.width);
    }
    return stats;
  }

  async #emitFull(open: readonly Place[], onToken: OnForced): Promise<void> {
    const { model } = this.#heads;
    const states = scope(() => statesOf(runsOf(open)));
    try {
      const { argmax } = await outcomeOf(model, states, { signal: this.#signal });
      for (const [r, { lane, position }] of open.entries()) {
        onToken(lane.index, position, { exit: undefined, id: argmax[r]! });
      }
    } catch (error) {
      if (!(error instanceof NumericsError)) throw error;
      const { lane, position } = open[Number(error.details["row"])]!;
      const seen = lane.window.ids.slice(0, position + 1);
      throw await nonFiniteError(model, seen, { what: "the logits of the full model", caller: "calibrate" });
    } finally {
      states.dispose();
    }
  }
}

/** The positions stand at the head's depth. */
async function statsOf(head: ExitHead, work: readonly Work[]): Promise<Float32Array> {
  const states = scope(() => statesOf(work));
  const logits = await head.logits(states);
  states.dispose();
  const stats = await head.stats(logits);
  logits.dispose();
  return stats;
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
