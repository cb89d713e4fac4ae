/**
 * Alternatives to exits that make a model faster: other dtypes and fewer blocks. All ways of an answer run in turns, in
 * one process, and the float32 model judges every token of every answer.
 */
import type { Device, Model, Policy } from "early-exits";
import { argmaxOf, type ModelDtype } from "early-exits/model";
import { readHeads, readModel } from "early-exits/node";
import { compareWays, type JudgedWay, type WayOutcome } from "../judged/compare-ways.js";

export interface Alternative extends Omit<WayOutcome, "texts"> {
  /** Share of the tokens that are the float32 model's choice after the same text. */
  readonly agreement: number;
  readonly unembedding: Model["unembedding"];
}

interface AlternativeOptions {
  readonly device: Device;
  /** The model's file, and the folder of its heads. */
  readonly file: string;
  readonly headsFolder: string;
  /** Certified policies for `dtype`, by name. */
  readonly policies: ReadonlyMap<string, Policy>;
  readonly dtype: ModelDtype;
  /** Tokens of an answer, at most. */
  readonly maxNewTokens: number;
}

const DTYPES = ["float32", "bfloat16", "int8", "int4"] as const;

/** Runs all ways on the prompts, if there are any; ratios are to float32. */
export async function compareAlternatives(
  prompts: readonly (readonly number[])[],
  { device, file, headsFolder, policies, dtype, maxNewTokens }: AlternativeOptions,
): Promise<Alternative[]> {
  if (prompts.length === 0) return [];
  const ways: JudgedWay[] = [];
  const [first] = policies.values();
  for (const stored of DTYPES) {
    const heads = await readHeads(headsFolder, await readModel(file, { device, dtype: stored }));
    ways.push({ name: `${stored}, plain`, heads, options: {} });
    for (const [name, policy] of policies) {
      const { certified, ...uncertified } = policy;
      const options = stored === certified?.dtype ? { policy } : { policy: uncertified, allowUncertified: true };
      ways.push({ name: `${stored}, ${name}`, heads, options });
    }
    if (stored !== dtype || first === undefined) continue;
    for (const [name, policy] of policies) {
      const options = { policy: previewOf(policy), allowUncertified: true };
      ways.push({ name: `${stored}, preview of the ${name} alone`, heads, options });
    }
    for (const { depth } of first.exits.slice(0, -1)) {
      const options = { policy: stopAt(first, depth), allowUncertified: true };
      ways.push({ name: `${stored}, always ${depth} blocks`, heads, options });
    }
  }
  const outcomes = await compareWays(ways, prompts, { tokens: maxNewTokens, seed: 1, stopAtEndOfText: true });
  const judge = ways[0]!.heads.model;
  const rows: Alternative[] = [];
  for (const [i, { texts, ...outcome }] of outcomes.entries()) {
    const { unembedding } = ways[i]!.heads.model;
    rows.push({ ...outcome, agreement: await agreementWith(judge, texts, prompts), unembedding });
  }
  for (const { heads } of new Map(ways.map((way) => [way.heads, way])).values()) {
    const { model } = heads;
    heads.dispose();
    model.dispose();
  }
  return rows;
}

/** The share of the tokens behind the prompts that the model would have chosen after the same text. */
async function agreementWith(
  model: Model,
  texts: readonly (readonly number[])[],
  prompts: readonly (readonly number[])[],
): Promise<number> {
  const { vocabSize } = model.config;
  let same = 0;
  let tokens = 0;
  for (const [p, ids] of texts.entries()) {
    const logits = await model.logits(ids.slice(0, -1)); // [T - 1, V]
    for (let t = prompts[p]!.length; t < ids.length; t++) {
      if (argmaxOf(logits.subarray((t - 1) * vocabSize, t * vocabSize)) === ids[t]) same++;
      tokens++;
    }
  }
  return same / tokens;
}

/** All blocks run, and the preview of the unembedding decides where the policy trusts it. */
function previewOf({ format, version, score, fill, exits }: Policy): Policy {
  const last = exits.length - 1;
  return {
    ...{ format, version, score, fill },
    exits: exits.map((exit, i) => (i === last ? exit : { ...exit, threshold: "never" })),
  };
}

/** Every token leaves at one depth: the model with the blocks above it removed, and a head trained for that. */
function stopAt({ format, version, score, fill, exits }: Policy, at: number): Policy {
  return {
    ...{ format, version, score, fill },
    exits: exits.map(({ depth }) => ({ depth, threshold: depth === at ? "always" : "never" })),
  };
}
