/**
 * `ExitHead`: one head at one depth of a frozen model. It holds trainable tensors for training, and matrices packed
 * from them for decoding: `freeze` packs, `thaw` drops what is packed when training is about to change the weights.
 */
import { HeadsError } from "../../errors.js";
import { type Matrix, type Model, normalize, storedBytes } from "../../model/index.js";
import { linear } from "../../tensor/ops/index.js";
import { keep, PackedMatrix, ROW_STATS, type Tensor } from "../../tensor/index.js";
import type { Gate } from "./gate.js";
import { headCost, type HeadShape } from "./head-shape.js";
import { headLogits } from "./head-weights.js";
import { definitions, type OutputSpace } from "./kinds/index.js";
import type { Projection } from "./projection.js";
import { type Confidence, confidenceAt } from "./score.js";
import type { Teacher } from "./teacher.js";

/** One head at one depth of a frozen model: trainable weights, and packed ones for decoding. */
export class ExitHead {
  readonly #space: OutputSpace;
  #weights: Record<string, Tensor> | undefined;
  #frozen: Record<string, Matrix> | undefined;
  #projection: Projection | undefined;
  #gate: Gate | undefined;

  constructor(
    readonly model: Model,
    readonly depth: number,
    readonly shape: HeadShape,
  ) {
    this.#space = definitions[shape.kind].space(shape, model.config.vocabSize);
  }

  /** Trainable weights by name. */
  get weights(): Readonly<Record<string, Tensor>> {
    if (this.#weights === undefined) {
      throw new HeadsError(
        "heads-unready",
        "exit heads: used before their weights were made; await heads.ready() first",
        { depth: this.depth },
      );
    }
    return this.#weights;
  }

  set weights(weights: Record<string, Tensor>) {
    this.#disposeWeights();
    for (const tensor of Object.values(weights)) keep(tensor);
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

  /** Predicts, before this head is evaluated, whether it agrees: the score `gate`; made by `trainGates`. */
  get gate(): Gate | undefined {
    return this.#gate;
  }

  set gate(gate: Gate | undefined) {
    this.#gate?.dispose();
    this.#gate = gate;
  }

  get ready(): boolean {
    return this.#weights !== undefined;
  }

  /** Whether its logits are products of `mapped` with the model's own unembedding. */
  get readsUnembedding(): boolean {
    return this.shape.kind === "tied";
  }

  /** The vectors [R, C] that its vocabulary reads, of states x [R, C]; differentiable. */
  mapped(x: Tensor): Tensor {
    return linear(normalize(x, { gain: this.weights["normGain"]! }, this.model.config), this.weights["translator"]!);
  }

  /** Logits [R, W] of states x [R, C], differentiable. W is V, or fewer for kinds that list only some tokens. */
  trainingLogits(x: Tensor): Tensor {
    return headLogits(x, this.shape, this.weights, this.model);
  }

  /**
   * Logits [R, W] of states x [R, C], by the packed weights: await freeze() first. W is V, or fewer for kinds that list
   * only some tokens; the methods below read either.
   */
  logits(x: Tensor): Tensor {
    if (this.#frozen === undefined) {
      throw new HeadsError(
        "heads-unready",
        "exit heads: logits() needs packed weights; await heads.freeze() after training",
        { depth: this.depth },
      );
    }
    return headLogits(x, this.shape, this.#frozen, this.model);
  }

  /** Statistics of all rows of this head's logits, R·5 numbers in the layout of `rowStats`, over the vocabulary. */
  readStats(logits: Tensor): Promise<Float32Array> {
    return this.#space.readStats(logits);
  }

  /** This head's confidence in every row of its logits. */
  async readConfidences(logits: Tensor): Promise<Confidence[]> {
    const stats = await this.readStats(logits);
    return Array.from({ length: stats.length / ROW_STATS.width }, (_, r) => confidenceAt(stats, r));
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

  /** Multiply-adds of one evaluation of one row. */
  get multiplyAdds(): number {
    return headCost(this.model.config, this.shape.kind, this.shape.inner);
  }

  /** Bytes of weights that one evaluation reads: those of the packed weights once there are any. */
  get bytes(): number {
    const own = Object.values(this.#frozen ?? this.weights).reduce((sum, weight) => sum + storedBytes(weight), 0);
    return own + definitions[this.shape.kind].modelBytes(this.model);
  }

  /** Packs the matrices for decoding, in the head's own dtype or else the model's. */
  async freeze(): Promise<void> {
    await this.#projection?.freeze();
    await this.#gate?.freeze();
    if (this.#frozen !== undefined) return;
    const { device } = this.model;
    const { dtype = this.model.dtype } = this.shape;
    const frozen: Record<string, Matrix> = {};
    for (const [name, tensor] of Object.entries(this.weights)) {
      frozen[name] =
        tensor.shape.length === 2 ? PackedMatrix.from(device, await tensor.read(), tensor.shape, dtype) : tensor;
    }
    this.#frozen = frozen;
  }

  /** Drops the packed weights, which training is about to change. Projection and gate stay packed. */
  thaw(): void {
    for (const matrix of Object.values(this.#frozen ?? {})) {
      if (matrix instanceof PackedMatrix) matrix.dispose();
    }
    this.#frozen = undefined;
  }

  dispose(): void {
    this.projection = undefined;
    this.gate = undefined;
    this.#disposeWeights();
  }

  #disposeWeights(): void {
    this.thaw();
    for (const tensor of Object.values(this.#weights ?? {})) tensor.dispose();
    this.#weights = undefined;
  }
}
