/**
 * `ExitHeads`: the exit heads of one frozen model, ascending by depth, and what was learned beside them. Saved as
 * safetensors + JSON, bound to the model by its hash.
 */
import { HeadsError, requireInteger } from "../../errors.js";
import { type Model, sha256 } from "../../model/index.js";
import { createRng, formatShape, sameShape, Tensor, type WeightDtype, weightDtypes } from "../../tensor/index.js";
import { parseSafetensors, serializeSafetensors } from "../../tensor/formats/index.js";
import { ExitHead } from "./exit-head.js";
import { Gate, gateShapes, type GateWeights } from "./gate.js";
import {
  defaultInner,
  type HeadKind,
  headKinds,
  type HeadShape,
  headWeightShapes,
  initialHeadWeights,
} from "./head-kinds.js";
import { checkDepths, placeExits, type Placement } from "./placement.js";
import { logitScores, type ScoreName, scoreNames } from "./score.js";
import { Projection, type ProjectionInput, projectionInputs, projectionShape } from "./projection.js";

/** Where heads go, and of which kind they are. */
export interface AttachOptions {
  /** How many exits, placed by `placement`; or their depths (blocks run, ascending). @default 3, or L - 1 if fewer */
  readonly exits?: number | readonly number[];
  /** @default "v2" */
  readonly placement?: Placement;
  /** @default "dense" */
  readonly kind?: HeadKind;
  /**
   * Inner size of lowRank (@default C/4) and mlp (@default C) heads, tokens of shortlist heads (@default 256, or V/2 if
   * fewer).
   */
  readonly inner?: number;
  /** The token ids that shortlist heads know (`frequentTokens` finds them). @default the lowest ids */
  readonly shortlist?: readonly number[];
  /**
   * How the heads' own matrices are stored when packed. Coarser than the model's saves reading; calibration sees what
   * it costs. @default the model's
   */
  readonly dtype?: WeightDtype;
  /** Seeds what is random in the initial weights (lowRank, mlp). @default 0 */
  readonly seed?: number;
}

export const attachDefaults = {
  /** L - 1 if fewer. */
  exits: 3,
  placement: "v2",
  kind: "dense",
  seed: 0,
} as const satisfies AttachOptions;

/** The exit heads of one frozen model, ascending by depth. */
export class ExitHeads {
  readonly #seed: number;
  #readying: Promise<void> | undefined;
  #hashed: Promise<string> | undefined;

  constructor(
    readonly model: Model,
    readonly heads: readonly ExitHead[],
    seed = 0,
  ) {
    this.#seed = seed;
  }

  get depths(): number[] {
    return this.heads.map(({ depth }) => depth);
  }

  /** The scores that every head has. */
  get scores(): readonly ScoreName[] {
    return this.heads.every(({ gate }) => gate !== undefined) ? scoreNames : logitScores;
  }

  /** Makes the initial weights, where none were loaded. Called by everything that needs them. */
  ready(): Promise<void> {
    return (this.#readying ??= this.#initialize());
  }

  /** Packs all heads for decoding. */
  async freeze(): Promise<void> {
    await this.ready();
    for (const head of this.heads) await head.freeze();
  }

  /** Trainable tensors of all heads. */
  get parameters(): Tensor[] {
    return this.heads.flatMap(({ weights }) => Object.values(weights));
  }

  /** Packed weights and hash are out of date: training or fitting is about to change the weights. */
  thaw(): void {
    this.#hashed = undefined;
    for (const head of this.heads) head.thaw();
  }

  /** SHA-256 (hex) of the heads' shapes and weights: policies and certificates are bound to it. */
  hash(): Promise<string> {
    return (this.#hashed ??= this.#hash());
  }

  /** Frees the heads; the model lives on. */
  dispose(): void {
    for (const head of this.heads) head.dispose();
  }

  async #hash(): Promise<string> {
    const { description, weights } = await serializeHeads(this);
    return sha256(new TextEncoder().encode(`${JSON.stringify(description)} ${await sha256(weights)}`));
  }

  async #initialize(): Promise<void> {
    const rng = createRng(this.#seed);
    for (const head of this.heads) {
      if (!head.ready) {
        head.weights = await initialHeadWeights(head.shape, this.model, rng.fork(`head at depth ${head.depth}`));
      }
    }
  }
}

/**
 * Attaches untrained heads (logit lenses) to a model, which stays frozen. Throws an OptionError where the exits do not
 * fit.
 */
export function attachHeads(model: Model, options: AttachOptions = {}): ExitHeads {
  const { numLayers } = model.config;
  const { exits = Math.min(attachDefaults.exits, numLayers - 1), dtype, seed = attachDefaults.seed } = options;
  const { placement = attachDefaults.placement, kind = attachDefaults.kind } = options;
  const depths = typeof exits === "number" ? placeExits(numLayers, exits, placement) : checkDepths(numLayers, exits);
  if (!headKinds.includes(kind)) {
    throw new HeadsError(
      "heads-kind",
      `attachHeads: kind ${JSON.stringify(kind)} does not exist; choose one of ${headKinds.join(", ")}`,
      { kind },
    );
  }
  const shortlist = options.shortlist?.toSorted((a, b) => a - b);
  const inner = requireInteger(
    "attachHeads: inner",
    options.inner ?? shortlist?.length ?? defaultInner(kind, model),
    0,
    2 ** 24,
  );
  if (dtype !== undefined && !weightDtypes.includes(dtype)) {
    throw new HeadsError(
      "heads-dtype",
      `attachHeads: dtype ${JSON.stringify(dtype)} does not exist; choose one of ${weightDtypes.join(", ")}`,
      { dtype },
    );
  }
  const listed =
    kind === "shortlist"
      ? { shortlist: checkShortlist(shortlist ?? Array.from({ length: inner }, (_, id) => id), inner, model) }
      : {};
  const shape: HeadShape = { kind, inner, ...listed, ...(dtype && { dtype }) };
  return new ExitHeads(
    model,
    depths.map((depth) => new ExitHead(model, depth, shape)),
    seed,
  );
}

/** Throws a HeadsError unless it is `inner` different ids of the vocabulary, ascending, and leaves at least one out. */
function checkShortlist(
  shortlist: readonly number[] | undefined,
  inner: number,
  { config: { vocabSize } }: Model,
): readonly number[] {
  const legal =
    shortlist?.length === inner &&
    inner >= 1 &&
    inner < vocabSize &&
    shortlist.every(
      (id, i) => Number.isInteger(id) && id >= 0 && id < vocabSize && (i === 0 || id > shortlist[i - 1]!),
    );
  if (!legal) {
    throw new HeadsError(
      "heads-shortlist",
      `exit heads: a shortlist is ${inner} different token ids in [0, ${vocabSize}), from 1 ` +
        `to ${vocabSize - 1} of them, ascending`,
      { inner, vocabSize },
    );
  }
  return shortlist;
}

export interface HeadDescription {
  readonly depth: number;
  readonly kind: HeadKind;
  readonly inner: number;
  /** The token ids of a shortlist head. Version 2. */
  readonly shortlist?: readonly number[];
  /** How its matrices are stored when packed, where not as the model's. Version 3. */
  readonly dtype?: WeightDtype;
  /** What the learned keys and values are made of, where there are any. Version 2. */
  readonly projection?: ProjectionInput;
  /** Hidden size of the gate's MLP, where there is a gate. Version 3. */
  readonly gate?: number;
}

/** What heads.json says. A version is written only where something is used that the one before did not have. */
export interface HeadsDescription {
  readonly format: "early-exits/heads";
  readonly version: 1 | 2 | 3;
  readonly modelHash: string;
  readonly heads: readonly HeadDescription[];
}

/** Heads as they are stored: a JSON description and a safetensors file. */
export interface SerializedHeads {
  readonly description: HeadsDescription;
  readonly weights: Uint8Array;
}

const tensorName = (depth: number, name: string): string => `exits.${depth}.${name}`;

/** The heads as JSON and safetensors bytes, float32: loading them back gives the same bits. */
export async function serializeHeads(heads: ExitHeads): Promise<SerializedHeads> {
  await heads.ready();
  const tensors: Record<string, { dtype: "F32"; shape: readonly number[]; data: Float32Array }> = {};
  const put = async (depth: number, name: string, tensor: Tensor): Promise<void> => {
    tensors[tensorName(depth, name)] = { dtype: "F32", shape: tensor.shape, data: await tensor.read() };
  };
  for (const { depth, weights, projection, gate } of heads.heads) {
    for (const [name, tensor] of Object.entries(weights)) await put(depth, name, tensor);
    if (projection !== undefined) {
      await put(depth, "projection.weight", projection.weight);
      await put(depth, "projection.bias", projection.bias);
    }
    for (const [name, tensor] of Object.entries(gate?.weights ?? {})) await put(depth, `gate.${name}`, tensor);
  }
  const described = heads.heads.map(({ depth, shape, projection, gate }): HeadDescription => ({
    depth,
    ...shape,
    ...(projection && { projection: projection.input }),
    ...(gate && { gate: gate.inner }),
  }));
  const version = Math.max(
    ...described.map(({ dtype, gate, projection, shortlist }) =>
      dtype !== undefined || gate !== undefined ? 3 : projection !== undefined || shortlist !== undefined ? 2 : 1,
    ),
  ) as HeadsDescription["version"];
  return {
    description: { format: "early-exits/heads", version, modelHash: await heads.model.hash(), heads: described },
    weights: serializeSafetensors(tensors),
  };
}

/** Heads from their stored form. Throws a HeadsError where they are malformed or belong to another model. */
export async function deserializeHeads(model: Model, description: unknown, weights: Uint8Array): Promise<ExitHeads> {
  const checked = checkDescription(description);
  const modelHash = await model.hash();
  if (checked.modelHash !== modelHash) {
    throw new HeadsError(
      "heads-model",
      `exit heads: they were trained for model ${checked.modelHash.slice(0, 12)}…, this one ` +
        `is ${modelHash.slice(0, 12)}…; load the model they belong to, or train heads for this one`,
      { expected: checked.modelHash, found: modelHash },
    );
  }
  checkDepths(
    model.config.numLayers,
    checked.heads.map(({ depth }) => depth),
  );
  const file = parseSafetensors(weights);
  const read = (depth: number, name: string, shape: readonly number[], requiresGrad: boolean): Tensor => {
    const stored = tensorName(depth, name);
    const found = file.info(stored);
    if (!sameShape(found.shape, shape)) {
      throw new HeadsError(
        "heads-shape",
        `exit heads: "${stored}" should be ${formatShape(shape)}, found ${formatShape(found.shape)}`,
        { name: stored, expected: shape, found: found.shape },
      );
    }
    return Tensor.from(model.device, file.float32(stored), shape, { requiresGrad });
  };
  const heads = checked.heads.map(({ depth, kind, inner, shortlist, dtype, projection, gate }) => {
    const head = new ExitHead(model, depth, {
      kind,
      inner,
      ...(kind === "shortlist" && { shortlist: checkShortlist(shortlist, inner, model) }),
      ...(dtype && { dtype }),
    });
    head.weights = Object.fromEntries(
      Object.entries(headWeightShapes(head.shape, model)).map(([name, shape]) => [
        name,
        read(depth, name, shape, true),
      ]),
    );
    if (projection !== undefined) {
      const shape = projectionShape(model, depth, projection);
      head.projection = new Projection(
        model,
        projection,
        read(depth, "projection.weight", shape, false),
        read(depth, "projection.bias", [shape[0]], false),
      );
    }
    if (gate !== undefined) {
      const shapes = gateShapes(model.config.hiddenSize, gate);
      const weight = (name: keyof GateWeights): Tensor => read(depth, `gate.${name}`, shapes[name], true);
      head.gate = new Gate(model, {
        up: weight("up"),
        upBias: weight("upBias"),
        down: weight("down"),
        downBias: weight("downBias"),
      });
    }
    return head;
  });
  return new ExitHeads(model, heads);
}

function checkDescription(json: unknown): HeadsDescription {
  const description = json as Partial<HeadsDescription> | null;
  if (typeof description !== "object" || description?.format !== "early-exits/heads") {
    throw new HeadsError(
      "heads-format",
      'exit heads: not a heads description; expected {"format": "early-exits/heads", …}',
    );
  }
  const { version, modelHash, heads } = description;
  if (version !== 1 && version !== 2 && version !== 3) {
    throw new HeadsError(
      "heads-version",
      `exit heads: version ${JSON.stringify(version)} is not supported, only 1 to 3; update the library`,
      { version },
    );
  }
  const legal =
    typeof modelHash === "string" && Array.isArray(heads) && heads.length > 0 && heads.every(isHeadDescription);
  if (!legal) {
    throw new HeadsError(
      "heads-format",
      "exit heads: the description lacks modelHash, or its heads lack depth, kind or inner, or have a " +
        "projection, dtype or gate that does not exist",
    );
  }
  return description as HeadsDescription;
}

function isHeadDescription(json: unknown): boolean {
  const head = json as Partial<HeadDescription> | null;
  return (
    typeof head === "object" &&
    head !== null &&
    Number.isInteger(head.depth) &&
    Number.isInteger(head.inner) &&
    head.inner! >= 0 &&
    headKinds.includes(head.kind as HeadKind) &&
    (head.projection === undefined || projectionInputs.includes(head.projection)) &&
    (head.shortlist === undefined || Array.isArray(head.shortlist)) &&
    (head.dtype === undefined || weightDtypes.includes(head.dtype)) &&
    (head.gate === undefined || (Number.isInteger(head.gate) && head.gate >= 1))
  );
}
