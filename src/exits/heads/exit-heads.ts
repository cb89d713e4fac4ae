/** `ExitHeads`: the exit heads of one frozen model, ascending by depth, with their projections. */
import type { CancelSignal } from "../../cancel-signal.js";
import { type Model, sha256 } from "../../model/index.js";
import { createRng, type Tensor } from "../../tensor/index.js";
import type { ExitHead } from "./exit-head.js";
import { initialHeadWeights } from "./head-weights.js";
import { type ScoreName, scoreNames } from "./score.js";
import { serializeHeads } from "./serialize-heads.js";

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
    return scoreNames.filter((name) => this.heads.every(({ scores }) => scores.includes(name)));
  }

  /** Makes the initial weights of heads that have none. Everything that needs weights calls it. */
  async ready(signal?: CancelSignal): Promise<void> {
    const begun = this.#readying;
    const readying = (this.#readying ??= this.#initialize(signal));
    try {
      await readying;
    } catch (error) {
      if (this.#readying === readying) this.#readying = undefined;
      if (begun === undefined) throw error;
      await this.ready(signal); // somebody else's signal may have ended it
    }
  }

  /** Packs all heads for decoding. */
  async freeze(): Promise<void> {
    await this.ready();
    for (const head of this.heads) await head.freeze();
  }

  /** Trainable tensors of all heads. */
  get parameters(): Tensor[] {
    return this.heads.flatMap(({ parameters }) => parameters);
  }

  /** Drops the packed weights and the hash. Call it when weights or projections are about to change. */
  thaw(): void {
    this.#hashed = undefined;
    for (const head of this.heads) head.thaw();
  }

  /** SHA-256 (hex) of the heads' shapes and weights. Policies and certificates are bound to it. */
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

  async #initialize(signal: CancelSignal | undefined): Promise<void> {
    const rng = createRng(this.#seed);
    for (const head of this.heads) {
      signal?.throwIfAborted();
      if (!head.ready) {
        const own = rng.fork(`head at depth ${head.depth}`);
        head.weights = await initialHeadWeights(this.model, head.shape, own, signal);
      }
      await head.prepare();
    }
  }
}
