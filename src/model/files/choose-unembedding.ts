/**
 * Measures whether decoding should screen the unembedding: states of the model are unembedded both ways, in turn.
 * Savings depend on the machine (bytes against arithmetic) and on the model (logits that compete), so no table could
 * say.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { DeviceError, OptionError } from "../../errors.js";
import { PackedMatrix, scope, type Tensor } from "../../tensor/index.js";
import { argmax } from "../../tensor/ops/reduce.js";
import { sliceRows } from "../../tensor/ops/select.js";
import { finalLogits } from "../decode/final-logits.js";
import { giveTurn } from "../../turns.js";
import type { Model } from "../model.js";
import { ScreenedUnembedding, type UnembeddingKind } from "../screened-unembedding.js";

/** Smaller unembeddings take microseconds. */
const LEAST_WEIGHTS = 2 ** 20;
const STATES = 8;
/** Share of the time that screening must save to be worth its memory. */
const LEAST_SAVED = 0.1;

export interface ChoiceOptions {
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
  readonly signal?: CancelSignal | undefined;
}

/**
 * "auto" screens if that is possible, there is memory for the copy, and it is faster. Throws an OptionError
 * ("unembedding-screened") if "screened" is not possible.
 */
export async function chooseUnembedding(
  model: Model,
  wish: UnembeddingKind | "auto" = "auto",
  { now = () => performance.now(), signal }: ChoiceOptions = {},
): Promise<void> {
  if (wish !== "auto") {
    model.setUnembedding(wish);
    return;
  }
  const { weight } = model.weights.unembedding;
  const possible = weight instanceof PackedMatrix && ScreenedUnembedding.supports(model.device, weight.storage.dtype);
  if (!possible || weight.shape[0]! * weight.shape[1]! < LEAST_WEIGHTS) return;
  try {
    model.setUnembedding("screened");
  } catch (error) {
    if (error instanceof DeviceError || error instanceof OptionError) return; // no memory, or weights without bounds
    throw error;
  }
  if (!(await screeningPays(model, now, signal))) model.setUnembedding("full");
}

async function screeningPays(model: Model, now: () => number, signal: CancelSignal | undefined): Promise<boolean> {
  const { numLayers, vocabSize, maxPositionEmbeddings } = model.config;
  const count = Math.min(STATES, maxPositionEmbeddings);
  const ids = Array.from({ length: count }, (_, i) => (i * 7919 + 13) % vocabSize);
  const states = scope(() => model.forward(ids).get(numLayers)!); // [count, C]
  const screened: number[] = [];
  const full: number[] = [];
  const timed = async (into: number[], run: () => Promise<unknown>): Promise<void> => {
    const started = now();
    await run();
    into.push(now() - started);
  };
  try {
    for (let row = 0; row < count; row++) {
      await giveTurn(signal);
      const state = (): Tensor => sliceRows(states, row, row + 1);
      await timed(screened, () => finalLogits(model, state, [1]));
      await timed(full, async () => {
        const logits = scope(() => model.unembed(state()));
        await argmax(logits);
        logits.dispose();
      });
    }
  } finally {
    states.dispose();
  }
  // The fastest of each: other processes can only add time.
  return Math.min(...screened) < (1 - LEAST_SAVED) * Math.min(...full);
}
