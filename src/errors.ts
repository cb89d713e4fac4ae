/**
 * The errors of this library. Each is an `EarlyExitError` with a stable `code` for programs and one sentence for
 * people: what was asked, what was found, what is legal, what to do. Public functions throw them before any work.
 */

/**
 * Base class of every error that this library throws on purpose. `details` holds plain facts that JSON can express.
 *
 * @example
 * ```ts
 * import { attachHeads, EarlyExitError } from "early-exits";
 * import { readModel } from "early-exits/node";
 *
 * const model = await readModel("node_modules/early-exits/models/sotu-12");
 * try {
 *   attachHeads(model, { exits: [40] });
 * } catch (error) {
 *   if (error instanceof EarlyExitError) console.log(error.code); // exit-depths
 * }
 * ```
 */
export class EarlyExitError extends Error {
  override readonly name: string = "EarlyExitError";
  constructor(
    readonly code: string,
    message: string,
    readonly details: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Sizes or shapes that do not fit together. */
export class ShapeError extends EarlyExitError {
  override readonly name = "ShapeError";
}

/** A device that is missing, lost, disposed, or not the owner of a tensor. */
export class DeviceError extends EarlyExitError {
  override readonly name = "DeviceError";
}

/** A malformed safetensors file. */
export class SafetensorsError extends EarlyExitError {
  override readonly name = "SafetensorsError";
}

/** A malformed GGUF file, or one that holds what this library cannot decode. */
export class GgufError extends EarlyExitError {
  override readonly name = "GgufError";
}

/** A model folder, configuration or checkpoint that cannot be used. */
export class ModelError extends EarlyExitError {
  override readonly name = "ModelError";
}

/** A model of the Hugging Face Hub that cannot be found, downloaded or trusted. */
export class HubError extends EarlyExitError {
  override readonly name = "HubError";
}

/** A tokenizer that cannot be read, or a token id outside the vocabulary. */
export class TokenError extends EarlyExitError {
  override readonly name = "TokenError";
}

/** A chat template that is missing, malformed, or cannot render a conversation. */
export class TemplateError extends EarlyExitError {
  override readonly name = "TemplateError";
}

/** Exit heads that are malformed, or belong to another model. */
export class HeadsError extends EarlyExitError {
  override readonly name = "HeadsError";
}

/** A hidden-state cache that is stale, damaged or incomplete. */
export class HiddenCacheError extends EarlyExitError {
  override readonly name = "HiddenCacheError";
}

/** A policy, report or certificate that is malformed, or was made for something else. */
export class PolicyError extends EarlyExitError {
  override readonly name = "PolicyError";
}

/** A line of an evaluation task, or an item made from one, that cannot be scored. */
export class TaskError extends EarlyExitError {
  override readonly name = "TaskError";
}

/** A file that exceeds what its reader allows; `details.budget` names the limit, which an option raises. */
export class BudgetError extends EarlyExitError {
  override readonly name = "BudgetError";
}

/** Weights or activations that are no numbers, or infinite. */
export class NumericsError extends EarlyExitError {
  override readonly name = "NumericsError";
}

/**
 * An option outside its legal range.
 *
 * @example
 * ```ts
 * import { OptionError, splitDocuments } from "early-exits";
 *
 * try {
 *   splitDocuments("One document only.");
 * } catch (error) {
 *   console.log(error instanceof OptionError); // true
 * }
 * ```
 */
export class OptionError extends EarlyExitError {
  override readonly name = "OptionError";
}

/**
 * Returns the value of an option that is an integer in [min, max]. `where` names the function and the option.
 *
 * @example
 * ```ts
 * import { requireInteger } from "early-exits";
 *
 * console.log(requireInteger("main: steps", 3, 1)); // 3
 * ```
 */
export function requireInteger(where: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    const legal = max === Number.MAX_SAFE_INTEGER ? `an integer >= ${min}` : `an integer in [${min}, ${max}]`;
    throw new OptionError("option-range", `${where}: expected ${legal}, found ${value}`, { value, min, max });
  }
  return value;
}

/** Returns the value of an option that is a finite number in [0, max], or in (0, max) if `open`. */
export function requireNumber(where: string, value: number, max: number, { open = false } = {}): number {
  const inside = open ? value > 0 && value < max : value >= 0 && value <= max;
  if (!Number.isFinite(value) || !inside) {
    const legal = open ? `(0, ${max})` : `[0, ${max}]`;
    throw new OptionError("option-range", `${where}: expected a number in ${legal}, found ${value}`, {
      value,
      min: 0,
      max,
    });
  }
  return value;
}
