/**
 * A fill supplies the keys and values of skipped blocks: a token that left early lacks them, and later tokens that go
 * deeper attend to them. A fill acts once, right after an exit:
 *
 *   lazy       keep the state; when a later token goes deeper, `advance` runs the missing blocks in its batch. Output
 *              is that of a full pass, bit for bit. Saves weight traffic, not FLOPs (FREE, EE-LLM, LayerSkip)
 *   project    one learned product makes the keys and values of all skipped blocks (heads/projection.ts): 2·C·G·D
 *              multiply-adds for each. Approximate: other tokens may change
 *   shared     for backbones whose upper blocks share the keys and values of one block (numKvSharedLayers). A token
 *              that leaves above that block lacks nothing. One that leaves right below it lacks that block's keys
 *              and values, which are computed from its state; one that leaves further down first runs up to there.
 *              Output is that of a full pass, bit for bit. Saves all work of the blocks above
 */
import { PolicyError } from "../../errors.js";
import { advance, keyValueLayers, type ModelConfig, type Sequence, type WorkMeter } from "../../model/index.js";
import type { UnitWork } from "../../model/weights.js";
import { fillFromStates, writeKeyValues } from "../../model/advance.js";
import { scope } from "../../tensor/index.js";
import type { ExitHeads } from "../heads/exit-heads.js";
import { skippedLayers } from "../heads/projection.js";

/** Exact (`lazy`, `shared`) or approximate (`project`). */
export type FillName = "lazy" | "project" | "shared";

/** A `Ledger` is one. */
interface FillMeter extends WorkMeter {
  /** One product made the keys and values of `blocks` skipped blocks for one position. */
  fill(blocks: number, work: UnitWork): void;
  /** This skipped block's (0-based) own product made its keys and values for one position. */
  fillByBlock(layer: number): void;
}

interface Fill {
  /** Keys and values, and so all output, are those of a full pass, bit for bit. */
  readonly exact: boolean;
  /** Called after exit number `exit`, below depth L, chose the token that follows `position`. */
  apply(heads: ExitHeads, sequence: Sequence, position: number, exit: number, ledger?: FillMeter): void;
  /** Blocks whose keys and values it makes without running them for a token that leaves at `depth`. */
  blocks(config: ModelConfig, depth: number): number;
}

export const fills: Readonly<Record<FillName, Fill>> = {
  lazy: { exact: true, apply: () => undefined, blocks: () => 0 },

  project: {
    exact: false,
    apply({ model, heads }, sequence, position, exit, ledger) {
      const { depth, projection } = heads[exit]!;
      const layers = skippedLayers(model.config, depth);
      if (layers.length > 0) {
        if (projection === undefined) throw projectionMissing(depth);
        scope(() => {
          writeKeyValues(model, sequence, position, layers, projection.keyValues(sequence.stoppedAt(position, depth)));
        });
        ledger?.fill(layers.length, projection.work);
      }
      sequence.complete(position);
    },
    blocks: (config, depth) => skippedLayers(config, depth).length,
  },

  shared: {
    exact: true,
    apply({ model, heads }, sequence, position, exit, ledger) {
      const last = keyValueLayers(model.config) - 1; // the block whose keys and values the blocks above share
      const { depth } = heads[exit]!;
      if (depth < last) advance(model, [{ sequence, positions: [position] }], last, ledger);
      if (sequence.depthOf(position) <= last) {
        fillFromStates(model, [{ sequence, positions: [position] }], last);
        ledger?.fillByBlock(last);
      }
      sequence.complete(position);
    },
    blocks: (config, depth) => (depth < keyValueLayers(config) ? 1 : 0),
  },
};

/**
 * The cheapest exact fill: `shared` if the backbone shares keys and values, otherwise `lazy`.
 *
 * @example
 * ```ts
 * import { exactFill } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * console.log(exactFill(model.config)); // shared
 * ```
 */
export function exactFill({ numKvSharedLayers }: Pick<ModelConfig, "numKvSharedLayers">): "shared" | "lazy" {
  return numKvSharedLayers > 0 ? "shared" : "lazy";
}

/**
 * Tokens that do not leave early are the full model's, whatever others did: one recorded pass shows what any policy
 * would do.
 */
export function isExactFill(name: FillName): boolean {
  return fills[checkFill(name)].exact;
}

export const fillNames = Object.keys(fills) as readonly FillName[];

function projectionMissing(depth: number): PolicyError {
  return new PolicyError(
    "policy-fill",
    `fill: the head at depth ${depth} has no learned keys and values; fit them with fitProjections, or choose ` +
      "another fill",
    { depth },
  );
}

/** Multiply-adds of the fill for a token that leaves at `depth`, without blocks that run then or later. */
export function fillCost(name: FillName, config: ModelConfig, depth: number): number {
  const { hiddenSize, numKvHeads, headDim } = config;
  return fills[name].blocks(config, depth) * 2 * hiddenSize * numKvHeads * headDim;
}

/** Throws a PolicyError if the model is not built for the fill, or the heads are not fitted for it. */
export function requireFillFor({ model: { config }, heads }: ExitHeads, name: FillName): void {
  if (name === "shared" && config.numKvSharedLayers === 0) {
    throw new PolicyError(
      "fill-shared",
      "policy: fill shared needs a backbone whose upper blocks share keys and values (num_kv_shared_layers); " +
        "use lazy or project",
    );
  }
  if (name !== "project") return;
  const unfitted = heads.find(
    ({ depth, projection }) => skippedLayers(config, depth).length > 0 && projection === undefined,
  );
  if (unfitted !== undefined) {
    throw new PolicyError(
      "policy-fill",
      `policy: fill project needs learned keys and values, but the head at depth ${unfitted.depth} has none; ` +
        "fit them with fitProjections (early-exits train --project), or choose another fill",
      { depth: unfitted.depth },
    );
  }
}

/** Throws a PolicyError if there is no such fill. */
export function checkFill(name: unknown): FillName {
  if (typeof name === "string" && Object.hasOwn(fills, name)) return name as FillName;
  throw new PolicyError(
    "fill-unknown",
    `policy: fill ${JSON.stringify(name)} does not exist; choose one of ${fillNames.join(", ")}`,
    { name },
  );
}
