/** The seven programs of examples/learn, with the types of what they export: they are JavaScript, to be changed. */
import { join } from "node:path";
import type { DecodeObserver } from "../../src/exits/index.js";
import type { ExitHeads, Generation, Model } from "../../src/index.js";

interface Written {
  readonly text: string;
  readonly meanDepth: number;
}

interface OnlineState {
  readonly level: number;
  readonly steps: number;
  readonly errors: number;
}

interface OnlineOptions {
  readonly target: number;
  readonly rate?: number;
  readonly first?: number;
}

interface Programs {
  readonly "1-logit-lens": { readonly lens: (model: Model, text: string) => Promise<number[][]> };
  readonly "2-exit-head": {
    readonly agreement: (
      model: Model,
      depth: number,
      texts: { readonly train: readonly string[]; readonly held: readonly string[] },
    ) => Promise<{ readonly before: number; readonly after: number }>;
  };
  readonly "3-threshold": {
    readonly prompts: readonly string[];
    readonly write: (heads: ExitHeads, prompt: string, threshold: number | string) => Promise<Written>;
  };
  readonly "4-break-even": {
    readonly speedup: (costs: {
      readonly blocks: number;
      readonly depth: number;
      readonly head: number;
      readonly last: number;
      readonly coverage: number;
    }) => number;
  };
  readonly "5-lossless": {
    readonly draftAndVerify: (
      heads: ExitHeads,
      prompt: string,
      options: { readonly count: number; readonly length: number },
    ) => Promise<{ readonly ids: readonly number[]; readonly rounds: readonly number[] }>;
  };
  readonly "6-own-certificate": {
    readonly hoeffding: (losses: readonly number[], epsilon: number) => number;
    readonly certify: (
      lossesOf: readonly (readonly number[])[],
      options: { readonly epsilon: number; readonly delta: number },
    ) => number;
  };
  readonly "7-online-thresholds": {
    readonly begin: (options: OnlineOptions) => OnlineState;
    readonly step: (state: OnlineState, error: number) => OnlineState;
    readonly bound: (state: OnlineState) => number;
    readonly recalibration: (
      exits: number,
      options: OnlineOptions,
    ) => DecodeObserver & { readonly state: () => OnlineState };
  };
  readonly sotu: {
    readonly openSotu: () => Promise<{ readonly model: Model; readonly heads: ExitHeads }>;
    readonly finish: (generation: Generation) => Promise<Generation["summary"]>;
    readonly speeches: (part: "train" | "calibration" | "test", count: number) => Promise<string[]>;
  };
}

/** The model and the heads of all programs, opened once. */
let opened: Promise<{ readonly model: Model; readonly heads: ExitHeads }> | undefined;
export const openSotu = () => (opened ??= program("sotu").then((sotu) => sotu.openSotu()));

/** The module of a program. */
export async function program<Name extends keyof Programs>(name: Name): Promise<Programs[Name]> {
  const path = join(import.meta.dirname, "../../examples/learn", `${name}.mjs`);
  return (await import(path)) as Programs[Name];
}
