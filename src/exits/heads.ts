/**
 * `ExitHeads`: the exit heads of one frozen model, ascending by depth. Their weights are trainable tensors; for decoding, matrices are
 * packed once (`freeze`) and packed anew after training changed them. Saved as safetensors + JSON, bound to the model by its hash.
 */
import { HeadsError, requireInteger } from "../errors.js";
import { sha256 } from "../model/checkpoint.js";
import type { Model } from "../model/model.js";
import { bytesOf, type Matrix, storedBytes } from "../model/weights.js";
import { createRng } from "../tensor/rng.js";
import { parseSafetensors, serializeSafetensors } from "../tensor/safetensors.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import { keep, PackedMatrix, Tensor } from "../tensor/tensor.js";
import { defaultInner, headLogits, type HeadKind, headKinds, type HeadShape, headWeightShapes, initialHeadWeights, usesUnembedding } from "./head-kinds.js";
import { headCost } from "./ledger.js";
import { checkDepths, placeExits, type Placement } from "./placement.js";

export interface AttachOptions {
  /** How many exits, placed by `placement`; or their depths (blocks run, ascending). @default 3, or L - 1 if fewer */
  readonly exits?: number | readonly number[];
  /** @default "v2" */
  readonly placement?: Placement;
  /** @default "dense" */
  readonly kind?: HeadKind;
  /** Inner size of lowRank (@default C/4) and mlp (@default C) heads. */
  readonly inner?: number;
  /** Seeds what is random in the initial weights (lowRank, mlp). @default 0 */
  readonly seed?: number;
}

export class ExitHead {
  #weights: Record<string, Tensor> | undefined;
  #frozen: Record<string, Matrix> | undefined;

  constructor(readonly model: Model, readonly depth: number, readonly shape: HeadShape) {}

  /** Trainable weights by name. */
  get weights(): Readonly<Record<string, Tensor>> {
    if (this.#weights === undefined) throw new HeadsError("heads-unready", "exit heads: used before their weights were made; await heads.ready() first", { depth: this.depth });
    return this.#weights;
  }

  set weights(weights: Record<string, Tensor>) {
    this.dispose();
    for (const tensor of Object.values(weights)) keep(tensor);
    this.#weights = weights;
  }

  get ready(): boolean {
    return this.#weights !== undefined;
  }

  /** Logits [R, V] of states x [R, C], differentiable. */
  trainingLogits(x: Tensor): Tensor {
    return headLogits(x, this.shape, this.weights, this.model);
  }

  /** Logits [R, V] of states x [R, C], by the packed weights: await freeze() first. */
  logits(x: Tensor): Tensor {
    if (this.#frozen === undefined) throw new HeadsError("heads-unready", "exit heads: logits() needs packed weights; await heads.freeze() after training", { depth: this.depth });
    return headLogits(x, this.shape, this.#frozen, this.model);
  }

  /** Multiply-adds of one evaluation of one row. */
  get multiplyAdds(): number {
    return headCost(this.model.config, this.shape.kind, this.shape.inner);
  }

  /** Bytes of weights that one evaluation reads: packed ones as they are packed. */
  get bytes(): number {
    const own = Object.values(this.#frozen ?? this.weights).reduce((sum, weight) => sum + storedBytes(weight), 0);
    return own + (usesUnembedding(this.shape.kind) ? bytesOf(this.model.weights.unembedding) : 0);
  }

  /** Packs the matrices for decoding, in the model's dtype. */
  async freeze(): Promise<void> {
    if (this.#frozen !== undefined) return;
    const { device, dtype } = this.model;
    const frozen: Record<string, Matrix> = {};
    for (const [name, tensor] of Object.entries(this.weights)) {
      frozen[name] = tensor.shape.length === 2 ? PackedMatrix.from(device, await tensor.read(), tensor.shape, dtype) : tensor;
    }
    this.#frozen = frozen;
  }

  /** Drops the packed weights: training is about to change them. */
  thaw(): void {
    for (const matrix of Object.values(this.#frozen ?? {})) if (matrix instanceof PackedMatrix) matrix.dispose();
    this.#frozen = undefined;
  }

  dispose(): void {
    this.thaw();
    for (const tensor of Object.values(this.#weights ?? {})) tensor.dispose();
    this.#weights = undefined;
  }
}

export class ExitHeads {
  readonly #seed: number;
  #readying: Promise<void> | undefined;
  #hashed: Promise<string> | undefined;

  constructor(readonly model: Model, readonly heads: readonly ExitHead[], seed = 0) {
    this.#seed = seed;
  }

  get depths(): number[] {
    return this.heads.map(({ depth }) => depth);
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

  /** Packed weights and hash are out of date: training is about to change the weights. */
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
      if (!head.ready) head.weights = await initialHeadWeights(head.shape, this.model, rng.fork(`head at depth ${head.depth}`));
    }
  }
}

/** Attaches untrained heads (logit lenses) to a model, which stays frozen. Throws an OptionError where the exits do not fit. */
export function attachHeads(model: Model, options: AttachOptions = {}): ExitHeads {
  const { numLayers } = model.config;
  const { exits = Math.min(3, numLayers - 1), placement = "v2", kind = "dense", seed = 0 } = options;
  const depths = typeof exits === "number" ? placeExits(numLayers, exits, placement) : checkDepths(numLayers, exits);
  if (!headKinds.includes(kind)) throw new HeadsError("heads-kind", `attachHeads: kind ${JSON.stringify(kind)} does not exist; choose one of ${headKinds.join(", ")}`, { kind });
  const inner = requireInteger("attachHeads: inner", options.inner ?? defaultInner(kind, model), 0, 2 ** 24);
  return new ExitHeads(model, depths.map((depth) => new ExitHead(model, depth, { kind, inner })), seed);
}

/** What heads.json says. */
export interface HeadsDescription {
  readonly format: "early-exits/heads";
  readonly version: 1;
  readonly modelHash: string;
  readonly heads: readonly { readonly depth: number; readonly kind: HeadKind; readonly inner: number }[];
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
  for (const { depth, weights } of heads.heads) {
    for (const [name, tensor] of Object.entries(weights)) tensors[tensorName(depth, name)] = { dtype: "F32", shape: tensor.shape, data: await tensor.read() };
  }
  const description: HeadsDescription = {
    format: "early-exits/heads", version: 1, modelHash: await heads.model.hash(),
    heads: heads.heads.map(({ depth, shape: { kind, inner } }) => ({ depth, kind, inner })),
  };
  return { description, weights: serializeSafetensors(tensors) };
}

/** Heads from their stored form. Throws a HeadsError where they are malformed or belong to another model. */
export async function deserializeHeads(model: Model, description: unknown, weights: Uint8Array): Promise<ExitHeads> {
  const checked = checkDescription(description);
  const modelHash = await model.hash();
  if (checked.modelHash !== modelHash) {
    throw new HeadsError("heads-model", `exit heads: they were trained for model ${checked.modelHash.slice(0, 12)}…, this one is ${modelHash.slice(0, 12)}…; load the model they belong to, or train heads for this one`, { expected: checked.modelHash, found: modelHash });
  }
  checkDepths(model.config.numLayers, checked.heads.map(({ depth }) => depth));
  const file = parseSafetensors(weights);
  const heads = checked.heads.map(({ depth, kind, inner }) => {
    const head = new ExitHead(model, depth, { kind, inner });
    const loaded: Record<string, Tensor> = {};
    for (const [name, shape] of Object.entries(headWeightShapes(head.shape, model))) {
      const stored = tensorName(depth, name);
      const found = file.info(stored);
      if (!sameShape(found.shape, shape)) throw new HeadsError("heads-shape", `exit heads: "${stored}" should be ${formatShape(shape)}, found ${formatShape(found.shape)}`, { name: stored, expected: shape, found: found.shape });
      loaded[name] = Tensor.from(model.device, file.float32(stored), shape, { requiresGrad: true });
    }
    head.weights = loaded;
    return head;
  });
  return new ExitHeads(model, heads);
}

function checkDescription(json: unknown): HeadsDescription {
  const description = json as Partial<HeadsDescription> | null;
  if (typeof description !== "object" || description?.format !== "early-exits/heads") throw new HeadsError("heads-format", 'exit heads: not a heads description; expected {"format": "early-exits/heads", …}');
  if (description.version !== (1 as number)) throw new HeadsError("heads-version", `exit heads: version ${JSON.stringify(description.version)} is not supported, only 1; update the library`, { version: description.version });
  const { modelHash, heads } = description;
  const legal = typeof modelHash === "string" && Array.isArray(heads) && heads.length > 0 && heads.every((head: Partial<HeadsDescription["heads"][number]> | null) =>
    typeof head === "object" && head !== null && Number.isInteger(head.depth) && Number.isInteger(head.inner) && head.inner! >= 0 && headKinds.includes(head.kind as HeadKind));
  if (!legal) throw new HeadsError("heads-format", "exit heads: the description lacks modelHash, or its heads lack depth, kind or inner");
  return description as HeadsDescription;
}
