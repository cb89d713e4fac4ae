/** Second run over a sequence, block by block, until a state is not finite. Loaded when it happens (non-finite.ts). */
import { NumericsError } from "../../errors.js";
import type { Tensor } from "../../tensor/index.js";
import { valuesOf } from "../../tensor/values-of.js";
import { runTo } from "../advance.js";
import type { Model } from "../model.js";
import { Sequence } from "../sequence.js";

/** Depth: blocks after which it would have been computed. */
export interface NonFinite {
  /** For the message, such as "the logits". */
  readonly what: string;
  /** @default L */
  readonly depth?: number | undefined;
  readonly caller?: string;
}

/** Names the block where non-finite numbers began. */
export async function locateNonFinite(
  model: Model,
  ids: readonly number[],
  { what, depth = model.config.numLayers, caller = "generate" }: NonFinite,
): Promise<NumericsError> {
  const found = await firstNonFinite(model, ids, depth);
  const begins =
    found === undefined
      ? `all states up to block ${depth} are finite, so it began in what reads them (the final norm, the ` +
        "unembedding, or an exit's head, fill or projection)"
      : found.block === 0
        ? `it began in the embedding of position ${found.position}`
        : `it began in block ${found.block} of ${model.config.numLayers}, at position ${found.position}`;
  return new NumericsError(
    "numerics-non-finite",
    `${caller}: ${what} after position ${ids.length - 1} hold NaN or infinity; ${begins}. Look for damaged weights ` +
      'with "early-exits plan --check"; if they are sound, load the model with dtype "float32"',
    { position: ids.length - 1, block: found?.block ?? null, beganAt: found?.position ?? null, depth },
  );
}

interface Place {
  /** 0 for the embedding. */
  readonly block: number;
  readonly position: number;
}

async function firstNonFinite(model: Model, ids: readonly number[], depth: number): Promise<Place | undefined> {
  const positions = ids.map((_, position) => position);
  const width = model.config.hiddenSize;
  const atEmbedding = await badRow(() => model.embed(ids, positions), width);
  if (atEmbedding !== undefined) return { block: 0, position: atEmbedding };
  const sequence = new Sequence(model, ids.length);
  try {
    sequence.append(...ids);
    for (let block = 1; block <= depth; block++) {
      runTo(sequence, block);
      const position = await badRow(() => sequence.hidden(0, ids.length), width);
      if (position !== undefined) return { block, position };
    }
    return undefined;
  } finally {
    sequence.dispose();
  }
}

/** First non-finite row of states [T, C]. */
async function badRow(states: () => Tensor, width: number): Promise<number | undefined> {
  const at = (await valuesOf(states)).findIndex((value) => !Number.isFinite(value));
  return at < 0 ? undefined : Math.floor(at / width);
}
