/** Attaches untrained exit heads to a frozen model: logit lenses (nostalgebraist 2020), never noise. */
import { HeadsError, OptionError } from "../../errors.js";
import { allNames, requireKnown } from "../../known.js";
import type { Model } from "../../model/index.js";
import type { WeightDtype } from "../../tensor/index.js";
import { weightDtypes } from "../../tensor/device.js";
import { allOrNone, createHead } from "./create-head.js";
import type { ExitHead } from "./exit-head.js";
import { defaultKind, type PreviewShape, previewSize, withFirst } from "./head-shape.js";
import { ExitHeads } from "./exit-heads.js";
import { nothingTaught } from "./taught.js";
import { checkDepths, placeExits, type Placement } from "./placement.js";

export interface AttachOptions {
  /**
   * Number of exits, placed by `placement`; or their depths (blocks run, ascending). None is legal beside a preview of
   * the unembedding or a look-ahead head. @default 3, or L - 1 if fewer
   */
  readonly exits?: number | readonly number[];
  /** @default "v2" */
  readonly placement?: Placement;
  /** @default "dense"; "linear" with a preview, or if the unembedding has more than 2^23 values */
  readonly kind?: "dense" | "linear";
  /**
   * Linear heads compute exact logits of few tokens, the best of a preview of this size; `true`: rank C/6 and 64
   * candidates, or half of the ranked tokens if fewer. `fitPreviews` fits it. @default false
   */
  readonly preview?: boolean | Partial<PreviewShape>;
  /**
   * One more exit, after the last block: a preview of the model's own unembedding. Where its margin passes the
   * threshold, the full product does not run. `fitPreviews` fits it; there is nothing to train. `true`: rank C/3, or
   * 4C/5 of more than 128,000 tokens, and 128 candidates, or half of the ranked tokens if fewer. @default false
   */
  readonly unembeddingPreview?: boolean | Partial<PreviewShape>;
  /**
   * One more head, which looks one token ahead and drafts for `lossless: true`; no text changes. `fitMaps` or
   * `trainHeads` teaches it. `true`: its preview has rank C/6 and 64 candidates. @default false
   */
  readonly ahead?: boolean | Partial<PreviewShape>;
  /**
   * Dtype of the heads' own packed matrices. A coarser one than the model's reduces memory traffic; calibration
   * measures what it costs. @default the model's; int8 beside int4 and "stored"; int4 for the coarse logits of previews
   */
  readonly dtype?: WeightDtype;
}

export const attachDefaults = {
  /** L - 1 if fewer. */
  exits: 3,
  placement: "v2",
} as const satisfies AttachOptions;

const attachOptionNames = allNames<AttachOptions>()(
  "exits",
  "placement",
  "kind",
  "preview",
  "unembeddingPreview",
  "ahead",
  "dtype",
);

/**
 * Attaches untrained heads; the model stays frozen. Throws an OptionError if the exits or a preview do not fit the
 * model, and a HeadsError for an unknown kind or dtype, or illegal tokens of a preview.
 *
 * @example
 * ```ts
 * import { attachHeads } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * console.log(attachHeads(model).depths); // [ 4, 7, 10 ]
 * console.log(attachHeads(model, { exits: [3, 6], kind: "linear" }).depths); // [ 3, 6 ]
 * ```
 */
export function attachHeads(model: Model, options: AttachOptions = {}): ExitHeads {
  requireKnown("attachHeads", options, attachOptionNames);
  const { config } = model;
  const { exits = Math.min(attachDefaults.exits, config.numLayers - 1), placement } = options;
  const { preview = false, unembeddingPreview = false, ahead = false, dtype } = options;
  const kind = options.kind ?? (preview === false ? defaultKind(config) : "linear");
  if (!["dense", "linear"].includes(kind)) throw unknown("kind", kind, ["dense", "linear"]);
  if (dtype !== undefined && !weightDtypes.includes(dtype)) throw unknown("dtype", dtype, weightDtypes);
  const none =
    (unembeddingPreview !== false || ahead !== false) &&
    (exits === 0 || (typeof exits === "object" && exits.length === 0));
  const depths = none
    ? []
    : typeof exits === "object"
      ? checkDepths(config.numLayers, exits)
      : placeExits(config.numLayers, exits, placement);
  const shape = {
    kind,
    ...(preview !== false && { preview: sizeOf(model, preview, "linear") }),
    ...(dtype && { dtype }),
  };
  const makers = depths.map((depth) => () => createHead(model, depth, shape));
  if (unembeddingPreview !== false) {
    makers.push(() => lastOf(model, depths, sizeOf(model, unembeddingPreview, "preview")));
  }
  if (ahead !== false) makers.push(() => aheadOf(model, ahead));
  const heads = allOrNone(makers);
  return new ExitHeads(model, heads, nothingTaught, ahead === false ? undefined : heads.pop());
}

/** Reads the states after about two, four and all fifths of the blocks. */
function aheadOf(model: Model, ahead: true | Partial<PreviewShape>): ExitHead {
  const { numLayers } = model.config;
  const inputs = [0.4, 0.8, 1].map((share) => Math.max(1, Math.round(share * numLayers)));
  return createHead(model, numLayers, {
    kind: "ahead",
    preview: sizeOf(model, ahead, "linear"),
    inputs: [...new Set(inputs)],
  });
}

function sizeOf(
  { config: { hiddenSize, vocabSize } }: Model,
  asked: true | Partial<PreviewShape>,
  kind: "linear" | "preview",
): PreviewShape {
  const { tokens, ...given } = asked === true ? {} : asked;
  requireKnown("attachHeads: a preview", given, ["rank", "candidates", "first"]);
  const sizes = { hiddenSize, vocabSize: tokens?.length ?? vocabSize };
  const size = { ...previewSize(sizes, kind), ...given };
  return { ...withFirst(size, sizes), ...(tokens && { tokens: tokens.toSorted((a, b) => a - b) }) };
}

/** The exit at depth L. */
function lastOf(model: Model, depths: readonly number[], preview: PreviewShape): ExitHead {
  const { numLayers } = model.config;
  if (depths.at(-1) === numLayers) {
    throw new OptionError(
      "exit-depths",
      `attachHeads: there is an exit at depth ${numLayers} already, where the preview of the unembedding would be; ` +
        "leave out one of them",
      { depths, numLayers },
    );
  }
  return createHead(model, numLayers, { kind: "preview", preview });
}

function unknown(option: string, value: unknown, legal: readonly string[]): HeadsError {
  return new HeadsError(
    `heads-${option}`,
    `attachHeads: ${option} ${JSON.stringify(value)} does not exist; choose one of ${legal.join(", ")}`,
    { [option]: value },
  );
}
