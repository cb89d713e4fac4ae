/** The shape of a head: kind, preview and dtype; its cost and its weights. */
import { HeadsError, requireInteger } from "../../errors.js";
import type { Model, ModelConfig } from "../../model/index.js";
import type { WeightDtype } from "../../tensor/index.js";

export type HeadKind = "dense" | "linear" | "preview" | "ahead";
export const headKinds = ["dense", "linear", "preview", "ahead"] as const satisfies readonly HeadKind[];

/** A preview of the unembedding: coarse logits, and then the exact ones of the best few tokens. */
export interface PreviewShape {
  /** Rank of the coarse logits. */
  readonly rank: number;
  /** Tokens, the best by the coarse logits, that get exact ones; at least 2. */
  readonly candidates: number;
  /**
   * So many components rank all tokens, and `candidates` of the best get the others.
   *
   * @default of attachHeads: 3C/20, and 64 times the candidates, where tokens are 1,000 times as many; otherwise none
   */
  readonly first?: { readonly rank: number; readonly candidates: number } | undefined;
  /** Ids that have coarse logits and can be emitted, ascending. @default all */
  readonly tokens?: readonly number[];
}

/** A head's part of heads.json. */
export interface HeadShape {
  readonly kind: HeadKind;
  /** Absent from a linear head that computes all logits. */
  readonly preview?: PreviewShape;
  /**
   * Dtype of the head's own packed matrices; calibration judges it as stored. @default the model's; int8 beside int4
   * and "stored"; int4 for the coarse logits of previews
   */
  readonly dtype?: WeightDtype;
  /** Depths whose states a look-ahead head reads, ascending; the last one is L. */
  readonly inputs?: readonly number[];
}

type ModelSizes = Pick<ModelConfig, "hiddenSize" | "vocabSize">;

/** The largest unembedding, in values, that every head copies by default. */
const LARGE_UNEMBEDDING = 2 ** 23;

/** `linear` if the unembedding is too large for a copy in every head. */
export function defaultKind({ hiddenSize, vocabSize }: ModelSizes): "dense" | "linear" {
  return hiddenSize * vocabSize > LARGE_UNEMBEDDING ? "linear" : "dense";
}

/** For each candidate, where a part of the components ranks all tokens; it takes longer beside SmolLM2's 49,152. */
const LEAST_TOKENS = 1000;

/** Weights of a row that share a scale when they are packed. */
const GROUP = 32;

/** The default size of a preview: of a linear head's unembedding, or of the model's own. */
export function previewSize({ hiddenSize, vocabSize }: ModelSizes, kind: "linear" | "preview"): PreviewShape {
  // At depth L, the argmaxes that a preview misses are its only errors; of many tokens, few get most components.
  const many = vocabSize > LEAST_TOKENS * 128;
  const { share, candidates } =
    kind === "linear" ? { share: 1 / 6, candidates: 64 } : { share: many ? 4 / 5 : 1 / 3, candidates: 128 };
  const rank = Math.ceil(share * hiddenSize);
  return {
    rank: rank < GROUP ? rank : GROUP * Math.round(rank / GROUP), // whole groups
    candidates: Math.max(2, Math.min(candidates, vocabSize >> 1)),
  };
}

/** Adds what ranks all of many tokens coarsely. */
export function withFirst(size: PreviewShape, { hiddenSize, vocabSize }: ModelSizes): PreviewShape {
  const first = { rank: GROUP * Math.round((0.15 * hiddenSize) / GROUP), candidates: 64 * size.candidates };
  const pays = first.rank > 0 && 2 * first.rank <= size.rank && vocabSize > LEAST_TOKENS * size.candidates;
  return pays ? { first, ...size } : size;
}

/** Multiply-adds of one head for one row. */
export function headCost(
  { hiddenSize: c, vocabSize: v }: ModelSizes,
  { kind, preview, inputs = [] }: HeadShape,
): number {
  const map = kind === "linear" ? c * c : kind === "ahead" ? (inputs.length + 7) * c * c : 0;
  if (preview === undefined) return map + c * v;
  const { rank, candidates, tokens, first = { rank, candidates: 0 } } = preview;
  const coarse = first.rank * (tokens?.length ?? v) + (rank - first.rank) * first.candidates;
  return map + rank * c + coarse + candidates * c;
}

/** Heads that plans compare. */
export function usualHeads(sizes: ModelSizes): Readonly<Record<"dense" | "linear" | "linearPreview", HeadShape>> {
  return {
    dense: { kind: "dense" },
    linear: { kind: "linear" },
    linearPreview: { kind: "linear", preview: previewSize(sizes, "linear") },
  };
}

/** By name, as files hold them. */
export function weightShapes(
  { config: { hiddenSize: c, vocabSize: v }, weights: { finalNorm, unembedding } }: Model,
  { kind, preview, inputs = [] }: HeadShape,
): Readonly<Record<string, readonly number[]>> {
  return {
    normGain: [c],
    ...(finalNorm.bias && { normBias: [c] }),
    ...(kind === "linear" && { map: [c, c], mapBias: [c] }),
    ...(kind === "ahead" && {
      map: [c, (inputs.length + 1) * c],
      mapBias: [c],
      up: [2 * c, 2 * c],
      upBias: [2 * c],
      down: [c, 2 * c],
    }),
    ...(kind === "dense" && { weight: [v, c], ...(unembedding.bias && { bias: [v] }) }),
    ...(preview && { previewDown: [preview.rank, c], previewLift: [preview.rank, c] }),
  };
}

/** Throws a HeadsError or an OptionError if a shape does not fit the model, or the depth. */
export function checkShape(
  { hiddenSize, vocabSize, numLayers }: ModelConfig,
  depth: number,
  { kind, preview, dtype, inputs }: HeadShape,
): HeadShape {
  const rest = { ...(dtype && { dtype }), ...(kind === "ahead" && { inputs }) };
  if ((kind === "dense" && preview !== undefined) || (kind === "preview" && preview === undefined)) {
    throw new HeadsError(
      "heads-kind",
      `exit heads: a head of kind ${kind} has ${preview ? "no" : "a"} preview; linear heads may have one`,
      { kind },
    );
  }
  if (kind === "preview" && depth !== numLayers) {
    throw new HeadsError(
      "heads-kind",
      `exit heads: a head of kind preview belongs after the last block, ${numLayers}, not at depth ${depth}; attach ` +
        "a linear head with a preview there",
      { depth },
    );
  }
  if (preview === undefined) return { kind, ...rest };
  const { tokens, rank, candidates, first } = preview;
  if (tokens !== undefined) requireTokens("the tokens of a preview", tokens, vocabSize);
  const most = tokens?.length ?? vocabSize;
  return {
    kind,
    preview: {
      rank: requireInteger("exit heads: preview rank", rank, 1, hiddenSize),
      candidates: requireInteger("exit heads: preview candidates", candidates, 2, most),
      ...(first && {
        first: {
          rank: requireInteger("exit heads: first rank of a preview", first.rank, 1, rank),
          candidates: requireInteger("exit heads: first candidates of a preview", first.candidates, candidates, most),
        },
      }),
      ...(tokens && { tokens }),
    },
    ...rest,
  };
}

/** At least two: a margin is that of two tokens. Throws a HeadsError that begins with `what`. */
export function requireTokens(what: string, tokens: readonly number[], vocabSize: number, most = vocabSize): void {
  const legal =
    tokens.length >= 2 &&
    tokens.length <= most &&
    tokens.every((id, i) => Number.isInteger(id) && id >= 0 && id < vocabSize && (i === 0 || id > tokens[i - 1]!));
  if (legal) return;
  throw new HeadsError(
    "heads-tokens",
    `exit heads: ${what} are different ids in [0, ${vocabSize}), ascending, from 2 to ${most} ` +
      "of them; give such a list",
    { tokens: tokens.length, vocabSize },
  );
}
