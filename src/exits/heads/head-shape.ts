/**
 * The shape of a head. A head is a map, from the state to a vector, and a vocabulary, from the vector to logits; what
 * each needs to know (inner size, token ids) and the dtype of the packed matrices belong to the shape too. A kind is a
 * name for a pair. Everything of one map or one vocabulary alone is in maps/ and vocabularies/.
 */
import { HeadsError, requireInteger } from "../../errors.js";
import type { Model } from "../../model/index.js";
import { type WeightDtype, weightDtypes } from "../../tensor/index.js";
import { type HeadMap, headMaps, isHeadMap, maps, type MapShape } from "./maps/index.js";
import {
  checkShortlist,
  type HeadVocabulary,
  headVocabularies,
  isHeadVocabulary,
  type ModelSizes,
  type PreviewSize,
  vocabularies,
  type VocabularyShape,
} from "./vocabularies/index.js";

/** The two parts of a head. */
export interface HeadPair {
  readonly map: HeadMap;
  readonly vocabulary: HeadVocabulary;
}

export interface HeadShape extends HeadPair {
  /** Inner size of the map: r of lowRank, m of mlp; 0 for the others. */
  readonly inner: number;
  /** The token ids of a vocabulary with a list, ascending. */
  readonly shortlist?: readonly number[];
  /** The size of a vocabulary's preview. */
  readonly preview?: PreviewSize;
  /**
   * The dtype of the head's own packed matrices. A head only approximates the model, and calibration judges it as it is
   * stored. @default the model's; int8 beside int4 and "stored"
   */
  readonly dtype?: WeightDtype;
}

/** The pairs that have a name. `dense` is the paper's head. */
const pairs = {
  dense: { map: "none", vocabulary: "trained" },
  tied: { map: "translator", vocabulary: "full" },
  lowRank: { map: "lowRank", vocabulary: "trained" },
  mlp: { map: "mlp", vocabulary: "full" },
  shortlist: { map: "none", vocabulary: "trainedShortlist" },
  linear: { map: "linear", vocabulary: "full" },
  linearShortlist: { map: "linear", vocabulary: "shortlist" },
  linearScreened: { map: "linear", vocabulary: "screened" },
  linearPreview: { map: "linear", vocabulary: "preview" },
  linearPreviewShortlist: { map: "linear", vocabulary: "previewShortlist" },
} as const satisfies Readonly<Record<string, HeadPair>>;

/** The names of pairs of a map and a vocabulary. */
export const headKinds = Object.keys(pairs) as readonly (keyof typeof pairs)[];

/** A named pair of a map and a vocabulary: the paper's dense head, and cheaper ones. */
export type HeadKind = (typeof headKinds)[number];

/** The pair that a kind names. */
export function pairOf(kind: HeadKind): HeadPair {
  return pairs[kind];
}

/** The name of a pair, if it has one. */
export function kindOf({ map, vocabulary }: HeadPair): HeadKind | undefined {
  return headKinds.find((kind) => pairs[kind].map === map && pairs[kind].vocabulary === vocabulary);
}

/** Whether a kind of that name exists. */
export function isHeadKind(name: unknown): name is HeadKind {
  return typeof name === "string" && Object.hasOwn(pairs, name);
}

/** The largest unembedding, in values, of which every head has a copy by default. */
const LARGE_UNEMBEDDING = 2 ** 23;

/** `dense`; `linear` if the unembedding is too large for one of its own in every head. */
export function defaultKind({ hiddenSize, vocabSize }: ModelSizes): HeadKind {
  return hiddenSize * vocabSize > LARGE_UNEMBEDDING ? "linear" : "dense";
}

/** How many tokens a head of this kind lists if the user says nothing; undefined if it has no list. */
export function defaultListed(sizes: ModelSizes, kind: HeadKind): number | undefined {
  return vocabularies[pairs[kind].vocabulary].listed?.(sizes);
}

/** What the user may say about a shape. */
export interface ShapeOptions {
  readonly kind?: HeadKind | undefined;
  readonly map?: HeadMap | undefined;
  readonly vocabulary?: HeadVocabulary | undefined;
  readonly inner?: number | undefined;
  readonly shortlist?: readonly number[] | undefined;
  readonly preview?: Partial<PreviewSize> | undefined;
  readonly dtype?: WeightDtype | undefined;
}

/**
 * The shape that the user's options ask for. Throws a HeadsError if a kind, map, vocabulary or dtype does not exist,
 * and an OptionError if a size is illegal.
 */
export function chooseShape(model: Model, options: ShapeOptions): HeadShape {
  const { config } = model;
  const { inner, shortlist, dtype } = options;
  if (dtype !== undefined && !weightDtypes.includes(dtype)) throw unknown("dtype", dtype, weightDtypes);
  const pair = choosePair(config, options);
  const innerOfMap = maps[pair.map].defaultInner(config);
  if (inner !== undefined) requireInteger("attachHeads: inner", inner, 0, 2 ** 24);
  const size = innerOfMap === 0 ? 0 : (inner ?? innerOfMap);
  const count = listedBy(config, pair, inner);
  const lowest = Array.from({ length: count ?? 0 }, (_, id) => id);
  const ids = count === undefined ? undefined : (shortlist?.toSorted((a, b) => a - b) ?? lowest);
  const ofPreview = previewBy(config, pair, ids?.length);
  const preview = ofPreview && { ...ofPreview, ...options.preview };
  return checkShape(model, {
    ...pair,
    inner: size,
    ...(ids && { shortlist: ids }),
    ...(preview && { preview }),
    ...(dtype && { dtype }),
  });
}

/**
 * How many tokens a pair lists without a list of the user's; undefined if it has none. A map without an inner size
 * leaves the option `inner` to the list.
 */
function listedBy(sizes: ModelSizes, { map, vocabulary }: HeadPair, inner?: number): number | undefined {
  const listed = vocabularies[vocabulary].listed?.(sizes);
  return listed !== undefined && maps[map].defaultInner(sizes) === 0 ? (inner ?? listed) : listed;
}

/** The size of a pair's preview, if it has one, of so many listed tokens, or of the vocabulary. */
function previewBy(
  { hiddenSize, vocabSize }: ModelSizes,
  { vocabulary }: HeadPair,
  listed = vocabSize,
): PreviewSize | undefined {
  return vocabularies[vocabulary].preview?.({ hiddenSize, vocabSize: listed });
}

function choosePair(config: ModelSizes, { kind, map, vocabulary }: ShapeOptions): HeadPair {
  if (map === undefined && vocabulary === undefined) {
    const name = kind ?? defaultKind(config);
    if (!isHeadKind(name)) throw unknown("kind", name, headKinds);
    return pairs[name];
  }
  if (kind !== undefined) {
    throw new HeadsError(
      "heads-kind",
      `attachHeads: kind ${JSON.stringify(kind)} is a name for a map and a vocabulary; give either the kind or ` +
        "those two",
      { kind },
    );
  }
  const pair = { map: map ?? "none", vocabulary: vocabulary ?? "full" } as const;
  if (!isHeadMap(pair.map)) throw unknown("map", map, headMaps);
  if (!isHeadVocabulary(pair.vocabulary)) throw unknown("vocabulary", vocabulary, headVocabularies);
  return pair;
}

function unknown(option: string, value: unknown, legal: readonly string[]): HeadsError {
  return new HeadsError(
    `heads-${option}`,
    `attachHeads: ${option} ${JSON.stringify(value)} does not exist; choose one of ${legal.join(", ")}`,
    { [option]: value },
  );
}

/** Throws a HeadsError if a shape does not fit the model. The result has no fields that its parts do not know. */
export function checkShape(
  { config }: Pick<Model, "config">,
  { map, vocabulary, inner, shortlist, preview, dtype }: HeadShape,
): HeadShape {
  const { vocabSize, hiddenSize } = config;
  const listed = vocabularies[vocabulary].listed !== undefined;
  const previewed = vocabularies[vocabulary].preview !== undefined;
  // A margin is that of two tokens; a list without a preview leaves some to the bucket of all others.
  const bounds = previewed ? { least: 2, most: vocabSize } : { least: 1, most: vocabSize - 1 };
  const ids = listed ? checkShortlist(shortlist, vocabSize, bounds) : undefined;
  return {
    map,
    vocabulary,
    inner,
    ...(ids && { shortlist: ids }),
    ...(previewed && { preview: checkPreview(preview, hiddenSize, ids?.length ?? vocabSize) }),
    ...(dtype && { dtype }),
  };
}

/** Throws an OptionError if the size of a preview of so many tokens is illegal. */
function checkPreview(preview: PreviewSize | undefined, hiddenSize: number, tokens: number): PreviewSize {
  return {
    rank: requireInteger("exit heads: preview rank", preview?.rank ?? NaN, 1, hiddenSize),
    candidates: requireInteger("exit heads: preview candidates", preview?.candidates ?? NaN, 2, tokens),
  };
}

/** What the map of a head needs to know of its shape. */
export function mapShapeOf({ vocabulary, inner }: Pick<HeadShape, "vocabulary" | "inner">): MapShape {
  return { inner, reads: vocabularies[vocabulary].reads };
}

/** What the vocabulary of a head needs to know of its shape. */
export function vocabularyShapeOf(sizes: ModelSizes, shape: HeadShape): VocabularyShape {
  const width = maps[shape.map].width(sizes, mapShapeOf(shape));
  const narrow = maps[shape.map].basis !== undefined && vocabularies[shape.vocabulary].reads === "any";
  return { width, narrow, shortlist: shape.shortlist, preview: shape.preview };
}

/**
 * Multiply-adds of one head for one token, of a named kind or of any pair. `inner` means what it means to
 * `attachHeads`, and has the same default.
 */
export function headCost(config: ModelSizes, kind: HeadKind | HeadPair, inner?: number): number {
  const pair: HeadPair = typeof kind === "string" ? pairs[kind] : kind;
  const { map, vocabulary } = pair;
  const innerOfMap = maps[map].defaultInner(config);
  const size = innerOfMap === 0 ? 0 : (inner ?? innerOfMap);
  const listed = listedBy(config, pair, inner);
  const preview = previewBy(config, pair, listed);
  const shape = { map, vocabulary, inner: size, ...(preview && { preview }) };
  return costOf(config, shape, listed ?? 0);
}

/** Multiply-adds of a head whose list, if it has one, has so many tokens. */
export function costOf(sizes: ModelSizes, shape: Omit<HeadShape, "shortlist">, listed: number): number {
  const { width } = vocabularyShapeOf(sizes, shape);
  return (
    maps[shape.map].multiplyAdds(sizes, mapShapeOf(shape)) +
    vocabularies[shape.vocabulary].multiplyAdds(sizes, { width, listed, preview: shape.preview })
  );
}
