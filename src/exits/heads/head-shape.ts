/**
 * The shape of a head: its kind, what the kind needs to know (inner size, token ids), and the dtype of its packed
 * matrices. Everything of one kind alone is in kinds/.
 */
import { HeadsError, requireInteger } from "../../errors.js";
import type { Model, ModelConfig } from "../../model/index.js";
import { type WeightDtype, weightDtypes } from "../../tensor/index.js";
import { definitions, type HeadKind, headKinds, isHeadKind, type KindShape } from "./kinds/index.js";

export interface HeadShape extends KindShape {
  readonly kind: HeadKind;
  /**
   * The dtype of the head's own packed matrices. A head only approximates the model, and calibration judges it as it is
   * stored. @default the model's; int8 beside int4 and "stored"
   */
  readonly dtype?: WeightDtype;
}

/** The shape that the user's options ask for. Throws if a kind or dtype does not exist, or a size is illegal. */
export function chooseShape(
  model: Model,
  options: Partial<KindShape> & { readonly kind: HeadKind; readonly dtype?: WeightDtype | undefined },
): HeadShape {
  const { kind, dtype } = options;
  if (!isHeadKind(kind)) {
    throw new HeadsError(
      "heads-kind",
      `attachHeads: kind ${JSON.stringify(kind)} does not exist; choose one of ${headKinds.join(", ")}`,
      { kind },
    );
  }
  if (dtype !== undefined && !weightDtypes.includes(dtype)) {
    throw new HeadsError(
      "heads-dtype",
      `attachHeads: dtype ${JSON.stringify(dtype)} does not exist; choose one of ${weightDtypes.join(", ")}`,
      { dtype },
    );
  }
  const definition = definitions[kind];
  const wanted = options.inner ?? definition.defaultInner(model.config, options);
  const inner = requireInteger("attachHeads: inner", wanted, 0, 2 ** 24);
  return checkShape(model, { kind, inner, ...definition.extra?.choose(inner, options), ...(dtype && { dtype }) });
}

/** Throws a HeadsError if a shape does not fit the model. The result has no fields that its kind does not know. */
export function checkShape(model: Model, { kind, inner, dtype, ...own }: HeadShape): HeadShape {
  const checked = definitions[kind].extra?.check({ inner, ...own }, model.config);
  return { kind, inner, ...checked, ...(dtype && { dtype }) };
}

/** Multiply-adds of one head for one token. The default of `inner` is the one of `attachHeads`. */
export function headCost(
  config: Pick<ModelConfig, "hiddenSize" | "vocabSize">,
  kind: HeadKind,
  inner = definitions[kind].defaultInner(config),
): number {
  return definitions[kind].multiplyAdds(config, inner);
}
