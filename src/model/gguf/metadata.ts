/** GGUF metadata, with errors that name the key, what was found and what is legal. */
import { type Budgets, budgetsWith } from "../../budgets.js";
import { GgufError } from "../../errors.js";
import type { GgufValue } from "../../tensor/formats/gguf/header.js";

export class GgufMetadata {
  constructor(
    readonly values: ReadonlyMap<string, GgufValue>,
    readonly path: string,
    readonly budgets: Budgets = budgetsWith(),
  ) {}

  has(key: string): boolean {
    return this.values.has(key);
  }

  text(key: string): string;
  text(key: string, fallback: undefined): string | undefined;
  text(key: string, ...fallback: readonly undefined[]): string | undefined {
    const value = this.values.get(key);
    if (typeof value === "string") return value;
    if (value === undefined && fallback.length > 0) return undefined;
    throw this.#error(key, "a string");
  }

  /** Whole numbers of 64 bits are exact or refused. */
  number(key: string): number;
  number(key: string, fallback: number | undefined): number | undefined;
  number(key: string, ...fallback: readonly (number | undefined)[]): number | undefined {
    const value = this.values.get(key);
    if (typeof value === "number") return value;
    if (typeof value === "bigint" && Number.isSafeInteger(Number(value))) return Number(value);
    if (value === undefined && fallback.length > 0) return fallback[0];
    throw this.#error(key, "a number");
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.values.get(key) ?? fallback;
    if (typeof value === "boolean") return value;
    throw this.#error(key, "a boolean");
  }

  /** undefined where the key is missing or no array. */
  flags(key: string, length: number): readonly boolean[] | undefined {
    const value = this.values.get(key);
    if (typeof value !== "object") return undefined;
    if (Array.isArray(value) && value.length === length && value.every((item) => typeof item === "boolean")) {
      return value;
    }
    throw this.#error(key, `an array of ${length} booleans`);
  }

  strings(key: string): readonly string[] {
    const value = this.values.get(key);
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    throw this.#error(key, "an array of strings");
  }

  /** undefined where the key is missing. */
  numbers(key: string, length: number): ArrayLike<number> | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    const legal = ArrayBuffer.isView(value) && !("setBigInt64" in value) && value.length === length;
    if (legal && typeof value[0] !== "bigint") return value as ArrayLike<number>;
    throw this.#error(key, `an array of ${length} numbers`);
  }

  #error(key: string, legal: string): GgufError {
    const value = this.values.get(key);
    const found =
      value === undefined ? "nothing" : typeof value === "object" ? "an array" : JSON.stringify(String(value));
    return new GgufError("gguf-metadata", `${this.path}: "${key}" should be ${legal}, found ${found}`, { key });
  }
}
