/**
 * Next-token losses of a backbone over all validation and test speeches, window by window, so that backbones are
 * compared on the same windows and the comparison has a standard error. (The report of a training run covers the first
 * windows only.)
 */
import { mean } from "d3-array";
import type { Model } from "early-exits";
import { evaluateLoss } from "../../src/model/pretrain/pretrain.js";
import { tokenStream } from "early-exits/model";
import { readJson, writeFileAtomic } from "early-exits/node";
import { fileExists } from "../../src/node/index.js";

const WINDOW = 256;

export interface BackboneLosses {
  readonly modelHash: string;
  /** Nats per token in each window of the validation speeches, in order. */
  readonly validation: readonly number[];
  /** Nats per token over all test speeches. */
  readonly test: number;
}

/** All speeches of a corpus, cut into segments as in training. */
export interface WholeTexts {
  readonly validation: readonly string[];
  readonly test: readonly string[];
}

/** Computes the losses of a backbone, or reads those in the file `path` if they belong to this model. */
export async function backboneLosses(model: Model, texts: WholeTexts, path: string): Promise<BackboneLosses> {
  const modelHash = await model.hash();
  const before = (await fileExists(path)) ? ((await readJson(path)) as BackboneLosses) : undefined;
  if (before?.modelHash === modelHash) return before;
  const losses: BackboneLosses = {
    modelHash,
    validation: await windowLosses(model, texts.validation),
    test: mean(await windowLosses(model, texts.test))!,
  };
  await writeFileAtomic(path, `${JSON.stringify(losses)}\n`);
  return losses;
}

async function windowLosses(model: Model, texts: readonly string[]): Promise<number[]> {
  const stream = tokenStream(model, texts);
  const losses: number[] = [];
  for (let from = 0; from + WINDOW < stream.length; from += WINDOW) {
    losses.push(
      await evaluateLoss(model, stream.subarray(from, from + WINDOW + 1), { windows: 1, sequenceLength: WINDOW }),
    );
  }
  return losses;
}

/** The relative difference of one backbone's validation loss to another's, and its standard error over windows. */
export function comparedLoss(
  { validation: one }: BackboneLosses,
  { validation: other }: BackboneLosses,
): { readonly share: number; readonly error: number } {
  const differences = one.map((loss, window) => loss - other[window]!);
  const difference = mean(differences)!;
  const reference = mean(other)!;
  const variance = mean(differences, (value) => (value - difference) ** 2)!;
  return { share: difference / reference, error: Math.sqrt(variance / differences.length) / reference };
}
