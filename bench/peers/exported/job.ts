/** Ways of decoding that are compared, and what their processes answer. */

export interface Way {
  readonly runtime: "ours" | "onnxruntime-node";
  /** Plain decoding runs all blocks for every token; in onnxruntime it has one graph. */
  readonly exits: boolean;
  readonly threads: number;
}

export interface Job extends Way {
  readonly model: string;
  readonly heads: string;
  /** A file with the policy, without a certificate. */
  readonly policy: string;
  /** The folder of the export that this way runs. */
  readonly exported: string;
  readonly prompts: readonly (readonly number[])[];
  readonly newTokens: number;
  readonly passes: number;
}

export interface Answer {
  /** Tokens per second after the first token, by pass over all prompts. */
  readonly speeds: readonly number[];
  /** Blocks run per token. */
  readonly depth: number;
  /** Of all prompts, one after another. */
  readonly ids: readonly number[];
}

export function labelOf({ runtime, exits, threads }: Way): string {
  return `${runtime}, ${exits ? "exits" : "plain"}, ${threads} t`;
}
