/**
 * The common beginning of consecutive prompts, such as a system prompt, or all of a prompt answered several times, runs
 * once. Every text starts from a copy of its keys and values, whose bits do not depend on what follows.
 */
import type { CancelSignal } from "../../cancel-signal.js";
import { commonLength } from "../../model/decode/common-length.js";
import type { OpenText, SequenceStore } from "../../model/decode/sequence-store.js";
import { type Model, Sequence } from "../../model/index.js";
import { prefill } from "../../model/advance.js";

/** Opens texts in the order of their prompts. Dispose of it when all are open, or none will be. */
export class PromptTrunk implements SequenceStore {
  readonly #prompts: readonly (readonly number[])[];
  readonly #signal: CancelSignal | undefined;
  /** The common beginning of the prompt opened last and its neighbours. */
  #trunk: Sequence | undefined;

  constructor(prompts: readonly (readonly number[])[], signal?: CancelSignal) {
    this.#prompts = prompts;
    this.#signal = signal;
  }

  async open(model: Model, { index, promptIds, capacity }: OpenText): Promise<Sequence> {
    const trunk = (this.#trunk ??= new Sequence(model));
    const most = promptIds.length - 1; // the last position belongs to the first round
    trunk.truncate(commonLength(trunk.ids, promptIds));
    const shared = Math.min(most, commonLength(promptIds, this.#prompts[index + 1] ?? []));
    if (shared > trunk.length) {
      const begin = trunk.length;
      trunk.append(...promptIds.slice(begin, shared));
      const positions = Array.from({ length: shared - begin }, (_, i) => begin + i);
      await prefill(model, [{ sequence: trunk, positions }], model.config.numLayers, { signal: this.#signal });
    }
    const length = Math.min(most, trunk.length);
    const sequence = trunk.clone({ length, capacity });
    sequence.append(...promptIds.slice(length));
    return sequence;
  }

  close(sequence: Sequence): void {
    sequence.dispose();
  }

  dispose(): void {
    this.#trunk?.dispose();
    this.#trunk = undefined;
  }
}
