/**
 * What heads read at the positions of a batch that count. A head without a block reads the states at its depth. The
 * block of a head attends to all positions of a window before a position, so it runs over whole windows, one after
 * another, and the positions that count are taken from what it makes.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { OptionError } from "../../errors.js";
import { scope, type Tensor } from "../../tensor/index.js";
import { concatRows, sliceRows } from "../../tensor/ops/index.js";
import { giveTurn } from "../../turns.js";
import type { ExitHead } from "../heads/index.js";
import { type HiddenBatch, statesAt, type WholeWindow } from "./batches.js";

export interface InputsOptions {
  /** For messages. */
  readonly caller: string;
  /** By which of the head's weights a block runs: by the packed ones, as in decoding, or by the trainable ones. */
  readonly weights: "packed" | "trainable";
  readonly signal?: CancelSignal | undefined;
}

export interface HeadInputs {
  /** [R, C] for every head. */
  readonly of: readonly Tensor[];
  /** Frees what is not the batch's. */
  dispose(): void;
}

/** The inputs of some heads. Throws an OptionError if the batch lacks what one of them needs. */
export async function headInputs(
  batch: HiddenBatch,
  heads: readonly ExitHead[],
  options: InputsOptions,
): Promise<HeadInputs> {
  const of: Tensor[] = [];
  const made: Tensor[] = [];
  const dispose = (): void => {
    for (const tensor of made) tensor.dispose();
  };
  try {
    for (const head of heads) {
      if (head.block === undefined) {
        of.push(statesAt(batch, head, options.caller));
      } else {
        const inputs = await blockInputs(batch, head, options);
        made.push(inputs);
        of.push(inputs);
      }
    }
  } catch (error) {
    dispose();
    throw error;
  }
  return { of, dispose };
}

async function blockInputs(
  batch: HiddenBatch,
  head: ExitHead,
  { caller, weights, signal }: InputsOptions,
): Promise<Tensor> {
  const parts: Tensor[] = [];
  try {
    for (const window of windowsOf(batch, caller)) {
      await giveTurn(signal);
      const states = wholeStatesAt(window, head, caller);
      parts.push(
        scope(() => {
          const inputs = weights === "packed" ? head.block!.overWindow(states) : head.trainingInputs(states);
          return sliceRows(inputs, window.from, inputs.shape[0]!);
        }),
      );
    }
    return scope(() => concatRows(parts));
  } finally {
    for (const part of parts) part.dispose();
  }
}

/** The windows of a batch. Throws an OptionError, in the name of the caller, if its source mixes their positions. */
export function windowsOf({ windows }: HiddenBatch, caller: string): readonly WholeWindow[] {
  if (windows !== undefined) return windows;
  throw new OptionError(
    "batch-windows",
    `${caller}: a head has a block, which attends to the positions before, but this source mixes those of all ` +
      "windows; give documents in place of a cache of states",
  );
}

/** The states [T, C] of a window that the head's block reads. */
export function wholeStatesAt(window: WholeWindow, { depth }: ExitHead, caller: string): Tensor {
  const states = window.hidden.get(depth);
  if (states !== undefined) return states;
  throw new OptionError("batch-depth", `${caller}: the data holds no whole windows at depth ${depth}`, { depth });
}

/** Depths at which batches for these heads need states, and whole windows. */
export function wantedBy(heads: readonly ExitHead[]): { readonly depths: number[]; readonly whole: number[] } {
  return {
    depths: heads.map(({ depth }) => depth),
    whole: heads.flatMap(({ depth, block }) => (block === undefined ? [] : depth)),
  };
}
