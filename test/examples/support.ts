/** The seven programs of examples/learn, with the types of what they export: they are JavaScript, to be changed. */
import { join } from "node:path";
import type { DecodeObserver } from "../../src/exits/index.js";
import type { ExitHeads, Generation, Model } from "../../src/index.js";

type Numbers = Readonly<Record<string, number>>;
type Lists = readonly (readonly number[])[];

interface Programs {
  readonly "1-logit-lens": { readonly lens: (model: Model, text: string) => Promise<number[][]> };
  readonly "2-exit-head": {
    readonly agreement: (
      model: Model,
      depth: number,
      texts: Readonly<Record<"train" | "held", readonly string[]>>,
    ) => Promise<{ readonly before: number; readonly after: number }>;
  };
  readonly "3-threshold": {
    readonly prompts: readonly string[];
    readonly write: (
      heads: ExitHeads,
      prompt: string,
      threshold: number | string,
    ) => Promise<{ readonly text: string; readonly meanDepth: number }>;
  };
  readonly "4-break-even": { readonly speedup: (costs: Numbers) => number };
  readonly "5-lossless": {
    readonly draftAndVerify: (
      heads: ExitHeads,
      prompt: string,
      options: Numbers,
    ) => Promise<{ readonly ids: readonly number[]; readonly rounds: readonly number[] }>;
  };
  readonly "6-own-certificate": {
    readonly hoeffding: (losses: readonly number[], epsilon: number) => number;
    readonly certify: (lossesOf: Lists, options: Numbers) => number;
  };
  readonly "7-online-thresholds": {
    readonly begin: (options: Numbers) => OnlineState;
    readonly step: (state: OnlineState, error: number) => OnlineState;
    readonly bound: (state: OnlineState) => number;
    readonly recalibration: (exits: number, options: Numbers) => DecodeObserver & { readonly state: () => OnlineState };
  };
  readonly sotu: {
    readonly openModel: (name: "sotu-6" | "sotu-12") => Promise<Model>;
    readonly openSotu: () => Promise<{ readonly model: Model; readonly heads: ExitHeads }>;
    readonly finish: (generation: Generation) => Promise<Generation["summary"]>;
    readonly speeches: (part: "train" | "calibration" | "test", count: number) => Promise<string[]>;
  };
}

type OnlineState = Readonly<Record<"level" | "steps" | "errors", number>>;

/** The model and the heads of all programs, opened once. */
let opened: Promise<{ readonly model: Model; readonly heads: ExitHeads }> | undefined;
export const openSotu = () => (opened ??= program("sotu").then((sotu) => sotu.openSotu()));

/** The module of a program. */
export async function program<Name extends keyof Programs>(name: Name) {
  const path = join(import.meta.dirname, "../../examples/learn", `${name}.mjs`);
  return (await import(path)) as Programs[Name];
}
