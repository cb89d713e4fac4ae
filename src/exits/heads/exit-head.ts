/**
 * `ExitHead`: one head at one depth of a frozen model. It holds trainable tensors for training, and matrices packed
 * from them for decoding: `freeze` packs, `thaw` drops what is packed when training is about to change the weights.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { HeadsError } from "../../errors.js";
import { type Matrix, type Model, storedBytes, type UnitWork } from "../../model/index.js";
import { keep, PackedMatrix, type Tensor } from "../../tensor/index.js";
import { costOf, type HeadShape, mapShapeOf, vocabularyShapeOf } from "./head-shape.js";
import { headConstants, headLogits, headOutput, packWeights, releaseConstants } from "./head-weights.js";
import { maps, type StateFit } from "./maps/index.js";
import type { Projection } from "./projection.js";
import { type Confidence, confidencesIn, type ScoreName } from "./score.js";
import type { Teacher } from "./teacher.js";
import { type Constant, type HeadWeights, type OutputSpace, vocabularies } from "./vocabularies/index.js";

/** One head at one depth of a frozen model: trainable weights, and packed ones for decoding. */
export class ExitHead {
  readonly #space: OutputSpace;
  #weights: Record<string, Tensor> | undefined;
  #frozen: Record<string, Matrix> | undefined;
  /** The packed weights with the constants, put together once: decoding asks for them at every token. */
  #joined: HeadWeights | undefined;
  #constants: Promise<Readonly<Record<string, Constant>>> | undefined;
  /** The values of the constants, by name. */
  #values: HeadWeights | undefined;
  #projection: Projection | undefined;

  constructor(
    readonly model: Model,
    readonly depth: number,
    readonly shape: HeadShape,
  ) {
    this.#space = vocabularies[shape.vocabulary].space(shape, model.config.vocabSize, () => ({
      model,
      weights: this.packedWeights,
    }));
  }

  /** Trainable weights by name. */
  get weights(): Readonly<Record<string, Tensor>> {
    if (this.#weights === undefined) throw this.#unready("used before their weights were made; await heads.ready()");
    return this.#weights;
  }

  set weights(weights: Record<string, Tensor>) {
    this.thaw();
    const kept = Object.values(weights);
    for (const tensor of Object.values(this.#weights ?? {})) {
      if (!kept.includes(tensor)) tensor.dispose();
    }
    for (const tensor of kept) keep(tensor);
    this.#weights = weights;
  }

  /** Learned keys and values of the blocks above, for the fill `project`; made by `fitProjections`. */
  get projection(): Projection | undefined {
    return this.#projection;
  }

  set projection(projection: Projection | undefined) {
    this.#projection?.dispose();
    this.#projection = projection;
  }

  /**
   * Whether it is a way to compute the model's own logits: at depth L, with the model's norm and unembedding. There is
   * nothing to train then.
   */
  get isModelsOwn(): boolean {
    return this.shape.map === "none" && this.readsUnembedding && this.depth === this.model.config.numLayers;
  }

  /** The weights that training changes. */
  get parameters(): Tensor[] {
    if (this.isModelsOwn) return [];
    const { fixed = [] } = vocabularies[this.shape.vocabulary];
    return Object.entries(this.weights).flatMap(([name, tensor]) => (fixed.includes(name) ? [] : tensor));
  }

  get ready(): boolean {
    return this.#weights !== undefined;
  }

  /** The scores that follow from this head's logits. */
  get scores(): readonly ScoreName[] {
    return vocabularies[this.shape.vocabulary].scores;
  }

  /** Whether the head's map has a closed form, `fit`. */
  get fits(): boolean {
    return maps[this.shape.map].fitted !== undefined;
  }

  /** Sets the map to a least-squares fit to the final state; the head's other weights stay. Check `fits` first. */
  fit(fit: StateFit): void {
    this.weights = { ...this.weights, ...maps[this.shape.map].fitted!(this.model, fit) };
  }

  /** Whether the head's vocabulary is fitted to the head's vectors, `fittedPreview`. */
  get hasPreview(): boolean {
    return vocabularies[this.shape.vocabulary].fitted !== undefined;
  }

  /**
   * The preview's weights, fitted to the sum of h hᵀ [C, C] over the head's `mapped` vectors h. Check `hasPreview`
   * first.
   */
  fittedPreview(moment: Float64Array, signal?: CancelSignal): Promise<Record<string, Tensor>> {
    const shape = vocabularyShapeOf(this.model.config, this.shape);
    return vocabularies[this.shape.vocabulary].fitted!(this.model, shape, moment, signal);
  }

  /** The weights of the head's map, which another vocabulary can take over. */
  get mapWeights(): Readonly<Record<string, Tensor>> {
    const names = Object.keys(maps[this.shape.map].weightShapes(this.model, mapShapeOf(this.shape)));
    return Object.fromEntries(names.map((name) => [name, this.weights[name]!]));
  }

  /** Makes the frozen values that the head computes with. Everything that computes logits needs them. */
  async prepare(): Promise<void> {
    const constants = await (this.#constants ??= headConstants(this.model, this.shape));
    this.#values ??= Object.fromEntries(Object.entries(constants).map(([name, { value }]) => [name, value]));
  }

  /** Whether its logits are products of `mapped` with all rows of the model's own unembedding. */
  get readsUnembedding(): boolean {
    return vocabularies[this.shape.vocabulary].modelRows === true;
  }

  /** The vectors [R, w] that its vocabulary reads, of states x [R, C]; differentiable. */
  mappedOf(x: Tensor): Tensor {
    return maps[this.shape.map].apply(x, this.#withConstants(this.weights), this.model);
  }

  /** Logits [R, W] of states x [R, C], differentiable. W is V, or fewer for kinds that list only some tokens. */
  trainingLogitsOf(x: Tensor): Tensor {
    return headLogits(x, this.shape, this.#withConstants(this.weights), this.model);
  }

  /**
   * Logits [R, W] of states x [R, C], by the packed weights: await freeze() first. W is V, or fewer for
   * vocabularies that list only some tokens; those that find the best ones without all logits return the vectors h for
   * it.
   */
  logits(x: Tensor): Tensor {
    return headOutput(x, this.shape, this.packedWeights, this.model);
  }

  /** Statistics of all rows of this head's logits, R·5 numbers in the layout of `rowStats`, over the vocabulary. */
  readStats(logits: Tensor): Promise<Float32Array> {
    return this.#space.readStats(logits);
  }

  /** This head's confidence in every row of its logits. */
  async readConfidences(logits: Tensor): Promise<Confidence[]> {
    return confidencesIn(await this.readStats(logits));
  }

  /**
   * Returns -log p(id) per row of this head's logits, in nats: [R]. Tokens that the head does not list share the
   * probability of the rest equally.
   */
  losses(logits: Tensor, ids: readonly number[]): Tensor {
    return this.#space.losses(logits, ids);
  }

  /** This head's logits over the whole vocabulary: R·V numbers, minus infinity for tokens that it never emits. */
  readLogits(logits: Tensor): Promise<Float32Array> {
    return this.#space.readLogits(logits);
  }

  /** The teacher over this head's own output space: the targets of its `trainingLogits`. */
  targetOf(teacher: Teacher): Promise<Teacher> {
    return this.#space.targetOf(teacher);
  }

  /** Whether the largest of this head's logits, in `column`, is the choice `target` of its own teacher (`targetOf`). */
  agrees(column: number, target: number): boolean {
    return this.#space.agrees(column, target);
  }

  /** Everything that the packed head computes with, by name: its weights and the constants. Await freeze() first. */
  get packedWeights(): Readonly<Record<string, Matrix>> {
    if (this.#joined !== undefined) return this.#joined;
    if (this.#frozen === undefined) throw this.#unready("logits() needs packed weights; await heads.freeze()");
    return (this.#joined = this.#withConstants(this.#frozen));
  }

  /** Multiply-adds of one evaluation of one row. */
  get multiplyAdds(): number {
    return costOf(this.model.config, this.shape, this.shape.shortlist?.length ?? 0);
  }

  /** Bytes of weights that one evaluation reads: those of the packed weights once there are any. */
  get bytes(): number {
    const read = [...Object.values(this.#frozen ?? this.weights), ...Object.values(this.#values ?? {})];
    const own = read.reduce((sum, weight) => sum + storedBytes(weight), 0);
    return own + vocabularies[this.shape.vocabulary].modelBytes(this.model, this.shape);
  }

  /** What one evaluation of one row takes. */
  get work(): UnitWork {
    return { multiplyAdds: this.multiplyAdds, bytes: this.bytes };
  }

  /** Packs the matrices for decoding, in the head's own dtype or else the one that suits the model's. */
  async freeze(): Promise<void> {
    await this.#projection?.freeze();
    await this.prepare();
    if (this.#frozen !== undefined) return;
    this.#frozen = await packWeights(this.model, this.shape, this.weights);
  }

  /** Drops the packed weights, which training is about to change. The projection stays packed. */
  thaw(): void {
    for (const matrix of Object.values(this.#frozen ?? {})) {
      if (matrix instanceof PackedMatrix) matrix.dispose();
    }
    this.#frozen = undefined;
    this.#joined = undefined;
  }

  dispose(): void {
    this.projection = undefined;
    this.thaw();
    for (const tensor of Object.values(this.#weights ?? {})) tensor.dispose();
    this.#weights = undefined;
    this.#values = undefined;
    releaseConstants(this.#constants);
    this.#constants = undefined;
  }

  #unready(what: string): HeadsError {
    return new HeadsError("heads-unready", `exit heads: ${what} first`, { depth: this.depth });
  }

  /** The weights together with the constants. */
  #withConstants(weights: HeadWeights): HeadWeights {
    if (this.#values === undefined) throw this.#unready("used before they were made; await heads.ready()");
    return { ...weights, ...this.#values };
  }
}
