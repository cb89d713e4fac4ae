/**
 * heads.json: what heads are, beside their weights. It names the model by its hash. The version is the lowest that has
 * all that these heads use, so heads of earlier versions keep their hash:
 *   1   a kind and its inner size                             3   a dtype of the heads' own
 *   2   projections, and the list of a shortlist head         4   a map and a vocabulary in place of a kind
 */
import { HeadsError } from "../../errors.js";
import { type WeightDtype, weightDtypes } from "../../tensor/index.js";
import type { ExitHead } from "./exit-head.js";
import { type HeadKind, type HeadPair, type HeadShape, isHeadKind, kindOf, pairOf } from "./head-shape.js";
import { type HeadMap, isHeadMap } from "./maps/index.js";
import { type ProjectionInput, projectionInputs } from "./projection.js";
import { type HeadVocabulary, isHeadVocabulary, type PreviewSize } from "./vocabularies/index.js";

/** The kinds that versions 1 to 3 can name, each with the first that can. */
const earlyKinds: Partial<Record<HeadKind, 1 | 2>> = { dense: 1, tied: 1, lowRank: 1, mlp: 1, shortlist: 2 };

/** One head of heads.json: by its kind up to version 3, by its map and vocabulary from version 4 on. */
export interface HeadDescription {
  readonly depth: number;
  readonly kind?: HeadKind;
  readonly map?: HeadMap;
  readonly vocabulary?: HeadVocabulary;
  /** Inner size of the map. Up to version 3 the number of tokens, if the kind is shortlist. */
  readonly inner: number;
  readonly shortlist?: readonly number[];
  readonly preview?: PreviewSize;
  readonly dtype?: WeightDtype;
  /** What the learned keys and values are computed from, if there are any. */
  readonly projection?: ProjectionInput;
}

/** The content of heads.json. */
export interface HeadsDescription {
  readonly format: "early-exits/heads";
  readonly version: 1 | 2 | 3 | 4;
  readonly modelHash: string;
  readonly heads: readonly HeadDescription[];
}

export function describeHeads(modelHash: string, heads: readonly ExitHead[]): HeadsDescription {
  const version = Math.max(...heads.map(versionOf)) as HeadsDescription["version"];
  const described = heads.map(({ depth, shape, projection }): HeadDescription => {
    const { map, vocabulary, inner, shortlist, ...rest } = shape;
    const kind = kindOf(shape);
    const named = version < 4 && kind !== undefined;
    return {
      depth,
      ...(named ? { kind, inner: shortlist?.length ?? inner } : { map, vocabulary, inner }),
      ...(shortlist && { shortlist }),
      ...rest,
      ...(projection && { projection: projection.input }),
    };
  });
  return { format: "early-exits/heads", version, modelHash, heads: described };
}

function versionOf({ shape, projection }: ExitHead): HeadsDescription["version"] {
  const kind = kindOf(shape);
  const first = (kind && earlyKinds[kind]) ?? 4;
  if (first === 4) return 4;
  if (shape.dtype !== undefined) return 3;
  return projection === undefined ? first : 2;
}

/** The shape of a described head. */
export function describedShape(description: HeadDescription): HeadShape {
  const { kind, map, vocabulary, inner, shortlist, preview, dtype } = description;
  const pair: HeadPair = kind === undefined ? { map: map!, vocabulary: vocabulary! } : pairOf(kind);
  const ofMap = kind === "shortlist" ? 0 : inner;
  return {
    ...pair,
    inner: ofMap,
    ...(shortlist && { shortlist }),
    ...(preview && { preview }),
    ...(dtype && { dtype }),
  };
}

/** Throws a HeadsError unless it is a description that this version of the library can read. */
export function checkDescription(json: unknown): HeadsDescription {
  const description = json as Partial<HeadsDescription> | null;
  if (typeof description !== "object" || description?.format !== "early-exits/heads") {
    throw new HeadsError(
      "heads-format",
      'exit heads: not a heads description; expected {"format": "early-exits/heads", …}',
    );
  }
  const { version, modelHash, heads } = description;
  if (version !== 1 && version !== 2 && version !== 3 && version !== 4) {
    throw new HeadsError(
      "heads-version",
      `exit heads: version ${JSON.stringify(version)} is not supported, only 1 to 4; update the library`,
      { version },
    );
  }
  const legal =
    typeof modelHash === "string" &&
    Array.isArray(heads) &&
    heads.length > 0 &&
    heads.every((head) => isHeadDescription(head, version));
  if (!legal) {
    throw new HeadsError(
      "heads-format",
      "exit heads: the description lacks modelHash, or one of its heads lacks depth, inner, or kind (from version 4 " +
        "on map and vocabulary), or has a projection or dtype that does not exist",
    );
  }
  return description as HeadsDescription;
}

function isHeadDescription(json: unknown, version: HeadsDescription["version"]): boolean {
  const head = json as Partial<HeadDescription> | null;
  return (
    typeof head === "object" &&
    head !== null &&
    Number.isInteger(head.depth) &&
    (version < 4
      ? isHeadKind(head.kind) && earlyKinds[head.kind] !== undefined
      : head.kind === undefined && isHeadMap(head.map) && isHeadVocabulary(head.vocabulary)) &&
    Number.isInteger(head.inner) &&
    head.inner! >= 0 &&
    (head.shortlist === undefined || Array.isArray(head.shortlist)) &&
    (head.projection === undefined || projectionInputs.includes(head.projection)) &&
    (head.dtype === undefined || weightDtypes.includes(head.dtype))
  );
}
