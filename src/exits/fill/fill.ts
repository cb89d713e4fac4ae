/**
 * What becomes of the keys and values that a token leaving early never made, and that later tokens going deeper attend
 * to. A strategy acts once, right after an exit:
 *   lazy       keep the state; `advance` runs the missing blocks later, batched, when a token goes deeper. The same output as a full
 *              pass, bit for bit; saves weight traffic, not FLOPs. (FREE, EE-LLM, LayerSkip)
 *   propagate  copy the exit state upward and make the missing keys and values of it, with each block's own weights: 2·C·G·D
 *              multiply-adds per skipped block. Approximate: other tokens may change. (CALM)
 *   project    one learned product makes the keys and values of all skipped blocks (projection.ts): the same cost, closer.
 *   shared     for backbones whose upper blocks share the keys and values of one block (numKvSharedLayers): an exit above that block owes
 *              nothing, one right below it owes that block's keys and values, made of the state it has; one further down runs up to there.
 *              The same output as a full pass, bit for bit; saves everything.
 *   recompute  keep nothing across exits: the whole prefix runs again for the next token. Exact; the reference, and what decoding without
 *              a cache costs.
 */
import { PolicyError } from "../../errors.js";
import {
  advance,
  keyValueLayers,
  keyValueOf,
  type Model,
  type ModelConfig,
  type Sequence,
  type UnitWork,
  type WorkMeter,
  writeKeyValues,
} from "../../model/index.js";
import { concatRows } from "../../tensor/ops/index.js";
import { scope } from "../../tensor/index.js";
import { type ExitHeads, skippedLayers } from "../heads/index.js";

/**
 * How the keys and values of skipped blocks come about: exactly (`lazy`, `shared`, `recompute`), or approximately
 * (`propagate`, `project`).
 */
export type FillName = "lazy" | "propagate" | "project" | "shared" | "recompute";

/** Counts the work of fills, and of the blocks that they run; a `Ledger` is one. */
export interface FillMeter extends WorkMeter {
  /** Keys and values of `blocks` skipped blocks of one position were computed, at this cost. */
  fill(blocks: number, work: UnitWork): void;
  /** Keys and values of these skipped blocks (0-based) of one position were computed by the blocks' own products. */
  fillByBlocks(layers: readonly number[]): void;
}

export interface Fill {
  readonly name: FillName;
  /** Whether the keys and values, and so all output, are those of a full pass, bit for bit. */
  readonly exact: boolean;
  /** Called after the token of `position` was chosen at exit number `exit`, below depth L. */
  apply(heads: ExitHeads, sequence: Sequence, position: number, exit: number, ledger?: FillMeter): void;
  /** Blocks whose keys and values it makes at once, without running them, for a token leaving at `depth`. */
  blocks(config: ModelConfig, depth: number): number;
}

export const fills: Readonly<Record<FillName, Fill>> = {
  lazy: { name: "lazy", exact: true, apply: () => undefined, blocks: () => 0 },

  propagate: {
    name: "propagate",
    exact: false,
    apply({ model, heads }, sequence, position, exit, ledger) {
      fillFromState(model, sequence, position, skippedLayers(model.config, heads[exit]!.depth), ledger);
      sequence.complete(position);
    },
    blocks: (config, depth) => skippedLayers(config, depth).length,
  },

  project: {
    name: "project",
    exact: false,
    apply({ model, heads }, sequence, position, exit, ledger) {
      const { depth, projection } = heads[exit]!;
      const layers = skippedLayers(model.config, depth);
      if (layers.length > 0) {
        if (projection === undefined) {
          throw new PolicyError(
            "policy-fill",
            `fill: the head at depth ${depth} has no learned keys and values; fit them with fitProjections, or ` +
              "choose another fill",
            { depth },
          );
        }
        scope(() => {
          writeKeyValues(model, sequence, position, layers, projection.keyValues(sequence.hidden(position)));
        });
        ledger?.fill(layers.length, projection.work);
      }
      sequence.complete(position);
    },
    blocks: (config, depth) => skippedLayers(config, depth).length,
  },

  shared: {
    name: "shared",
    exact: true,
    apply({ model, heads }, sequence, position, exit, ledger) {
      const last = keyValueLayers(model.config) - 1; // the block whose keys and values those above share
      const { depth } = heads[exit]!;
      if (depth < last) advance(model, [{ sequence, positions: sequence.pending(last) }], last, ledger);
      if (depth <= last) fillFromState(model, sequence, position, [last], ledger);
      sequence.complete(position);
    },
    blocks: (config, depth) => (depth < keyValueLayers(config) ? 1 : 0),
  },

  recompute: {
    name: "recompute",
    exact: true,
    apply: (_heads, sequence) => {
      sequence.rewind();
    },
    blocks: () => 0,
  },
};

/**
 * The cheapest fill that keeps all output exact: `shared` where the backbone shares keys and values, or else `lazy`.
 */
export function exactFill({ numKvSharedLayers }: Pick<ModelConfig, "numKvSharedLayers">): "shared" | "lazy" {
  return numKvSharedLayers > 0 ? "shared" : "lazy";
}

/**
 * Whether tokens that do not leave early are the full model's, whatever others did: then one recorded pass shows what
 * any policy would do.
 */
export function isExactFill(name: FillName): boolean {
  return fills[checkFill(name)].exact;
}

export const fillNames = Object.keys(fills) as readonly FillName[];

/** Keys and values of some blocks for `position`, made by their own weights of the state it stopped at. */
function fillFromState(
  model: Model,
  sequence: Sequence,
  position: number,
  layers: readonly number[],
  ledger: FillMeter | undefined,
): void {
  if (layers.length === 0) return;
  scope(() => {
    const state = sequence.hidden(position);
    const parts = layers.map((layer) => keyValueOf(state, model.weights.blocks[layer]!, model.config));
    writeKeyValues(model, sequence, position, layers, parts.length === 1 ? parts[0]! : concatRows(parts));
  });
  ledger?.fillByBlocks(layers);
}

/**
 * Multiply-adds of the keys and values that a fill makes for a token leaving at `depth`; blocks that it runs, or that
 * run later, are not among them.
 */
export function fillCost(name: FillName, config: ModelConfig, depth: number): number {
  const { hiddenSize, numKvHeads, headDim } = config;
  return fills[name].blocks(config, depth) * 2 * hiddenSize * numKvHeads * headDim;
}

/** Throws a PolicyError where the model is not built, or the heads are not fitted, for the strategy. */
export function requireFillFor({ model: { config }, heads }: ExitHeads, name: FillName): void {
  if (name === "shared" && config.numKvSharedLayers === 0) {
    throw new PolicyError(
      "fill-shared",
      "policy: fill shared needs a backbone whose upper blocks share keys and values (num_kv_shared_layers); " +
        "use lazy, propagate or project",
    );
  }
  const unfitted =
    name === "project"
      ? heads.find(({ depth, projection }) => skippedLayers(config, depth).length > 0 && projection === undefined)
      : undefined;
  if (unfitted !== undefined) {
    throw new PolicyError(
      "policy-fill",
      `policy: it fills by learned keys and values, which the head at depth ${unfitted.depth} has not; fit ` +
        "them with fitProjections (early-exits train --project), or choose another fill",
      { depth: unfitted.depth },
    );
  }
}

/** Throws a PolicyError unless it is a known strategy. */
export function checkFill(name: unknown): FillName {
  if (typeof name === "string" && Object.hasOwn(fills, name)) return name as FillName;
  throw new PolicyError(
    "fill-unknown",
    `policy: fill ${JSON.stringify(name)} does not exist; choose one of ${fillNames.join(", ")}`,
    { name },
  );
}
