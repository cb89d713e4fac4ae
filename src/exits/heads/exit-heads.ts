/** The exit heads of one frozen model, ascending by depth, with their projections. */
import { OptionError } from "../../errors.js";
import type { Model } from "../../model/index.js";
import { sha256 } from "../../model/sha256.js";
import { shown } from "../../shown.js";
import type { ExitHead } from "./exit-head.js";
import { ascending } from "./placement.js";
import { type ScoreName, scoreNames } from "./score.js";
import { serializeHeads } from "./serialize-heads.js";
import type { Taught } from "./taught.js";

/**
 * Exit heads of one frozen model, ascending by depth. `hash()` changes with their weights.
 *
 * @example
 * ```ts
 * import { readHeads, readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * const heads = await readHeads("node_modules/early-exits/models/sotu-12/heads", model);
 * console.log(heads.depths, heads.scores); // [ 3, 6 ] [ 'entropy', 'maxProb', 'margin', 'probGap' ]
 * ```
 */
export class ExitHeads {
  #hashed: { readonly of: readonly unknown[]; readonly hash: Promise<string> } | undefined;

  constructor(
    readonly model: Model,
    readonly heads: readonly ExitHead[],
    /** A sample of the text that taught them; undefined if it is not known. */
    public taught: Taught | undefined,
    /** Drafts the token after the next (lossless decoding); changes no text, and is no part of the hash. */
    readonly ahead?: ExitHead,
  ) {}

  get depths(): number[] {
    return this.heads.map(({ depth }) => depth);
  }

  /** Depths whose states training reads. */
  get inputs(): number[] {
    return ascending([...this.depths, ...(this.ahead?.shape.inputs ?? [])]);
  }

  /** Scores that every head has. */
  get scores(): readonly ScoreName[] {
    return scoreNames.filter((name) => this.heads.every(({ scores }) => scores.includes(name)));
  }

  /** SHA-256 (hex) of the heads' shapes and weights. Policies and certificates are bound to it. */
  hash(): Promise<string> {
    const parts = this.heads.flatMap(({ weights, preview, projection }) => [
      weights.version,
      preview?.version,
      projection,
    ]);
    const of = [...parts, this.taught];
    if (this.#hashed?.of.every((part, i) => part === of[i]) !== true) this.#hashed = { of, hash: this.#hash() };
    return this.#hashed.hash;
  }

  /** Frees the heads; the model lives on. */
  dispose(): void {
    this.ahead?.dispose();
    for (const head of this.heads) {
      head.projection?.dispose();
      head.dispose();
    }
  }

  async #hash(): Promise<string> {
    const { model, heads, taught } = this;
    const { description, weights } = await serializeHeads({ model, heads, taught });
    return sha256(new TextEncoder().encode(`${JSON.stringify(description)} ${await sha256(weights)}`));
  }
}

/** The frozen model. */
export function modelOf(source: Model | ExitHeads): Model {
  return source instanceof ExitHeads ? source.model : source;
}

/** Throws an OptionError for a model, say, or arguments in another order. `where` names the function. */
export function requireHeads(where: string, heads: ExitHeads): void {
  if (Array.isArray((heads as Partial<ExitHeads> | undefined)?.heads)) return;
  const found = typeof heads === "object" ? "an object without heads" : shown(heads);
  throw new OptionError("heads-expected", `${where}: expected exit heads (attachHeads or readHeads), found ${found}`);
}
