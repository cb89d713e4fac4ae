/**
 * `ExitHead`: one head at one depth of a frozen model. Its weights are trainable tensors; for decoding, matrices are
 * packed once (`freeze`) and packed anew after training changed them.
 */
import { HeadsError } from "../../errors.js";
import { bytesOf, type Matrix, type Model, storedBytes } from "../../model/index.js";
import { keep, PackedMatrix, ROW_STATS, type Tensor } from "../../tensor/index.js";
import { crossEntropy } from "../../tensor/ops/index.js";
import type { Gate } from "./gate.js";
import { headCost, headLogits, type HeadShape, usesUnembedding } from "./head-kinds.js";
import type { Projection } from "./projection.js";
import { type Confidence, confidenceAt, readStats } from "./score.js";
import { reduceTeacher, shortlistLosses, shortlistStats, spreadLogits } from "./shortlist.js";
import type { Teacher } from "./targets.js";

/** One head at one depth of a frozen model: trainable weights, and packed ones for decoding. */
export class ExitHead {
  #weights: Record<string, Tensor> | undefined;
  #frozen: Record<string, Matrix> | undefined;
  #projection: Projection | undefined;
  #gate: Gate | undefined;

  constructor(
    readonly model: Model,
    readonly depth: number,
    readonly shape: HeadShape,
  ) {}

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

  /** What says beforehand whether this head agrees, for the score `gate`; made by `trainGates`. */
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

  /** Logits [R, V] (of a shortlist [R, n + 1]) of states x [R, C], differentiable. */
  trainingLogits(x: Tensor): Tensor {
    return headLogits(x, this.shape, this.weights, this.model);
  }

  /**
   * Logits [R, V] (of a shortlist [R, n + 1]) of states x [R, C], by the packed weights: await freeze() first. Read
   * them by the methods below.
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

  /**
   * Statistics of all rows of this head's logits, R·5 numbers as `rowStats` makes them, with the ids of the vocabulary.
   */
  readStats(logits: Tensor): Promise<Float32Array> {
    const { shortlist } = this.shape;
    return shortlist === undefined ? readStats(logits) : shortlistStats(logits, shortlist, this.model.config.vocabSize);
  }

  /** What this head says in every row of its logits. */
  async readConfidences(logits: Tensor): Promise<Confidence[]> {
    const stats = await this.readStats(logits);
    return Array.from({ length: stats.length / ROW_STATS.width }, (_, r) => confidenceAt(stats, r));
  }

  /**
   * -log p(id) per row of this head's logits, in nats: [R]. A shortlist head gives every token that it does not know an
   * equal share of the rest's probability.
   */
  losses(logits: Tensor, ids: readonly number[]): Tensor {
    const { shortlist } = this.shape;
    return shortlist === undefined
      ? crossEntropy(logits, ids)
      : shortlistLosses(logits, ids, shortlist, this.model.config.vocabSize);
  }

  /**
   * All rows of this head's logits over the whole vocabulary: R·V numbers, minus infinity for tokens that it cannot
   * say.
   */
  async readLogits(logits: Tensor): Promise<Float32Array> {
    const { shortlist } = this.shape;
    const values = await logits.read();
    return shortlist === undefined ? values : spreadLogits(values, shortlist, this.model.config.vocabSize);
  }

  /** The teacher in the terms of this head's logits. */
  targetOf(teacher: Teacher): Promise<Teacher> {
    const { shortlist } = this.shape;
    return shortlist === undefined ? Promise.resolve(teacher) : reduceTeacher(teacher, shortlist);
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

  /** Packs the matrices for decoding, in the head's dtype or else the model's. */
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

  /** Drops the packed weights: training is about to change them. It changes neither projection nor gate. */
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
