/** Errors of safetensors files: codes and helpers. */
import { SafetensorsError } from "../../errors.js";

/** Each has a test of the same name. */
export const safetensorsErrorCodes = [
  "big-endian-host",
  "cannot-decode",
  "data-type",
  "duplicate-key",
  "field-type",
  "file-too-short",
  "header-past-end",
  "header-start",
  "header-too-large",
  "invalid-json",
  "invalid-name",
  "invalid-utf8",
  "metadata-type",
  "missing-field",
  "not-an-integer",
  "offsets-gap",
  "offsets-overlap",
  "offsets-past-end",
  "offsets-reversed",
  "partial-byte",
  "prefix-too-short",
  "shape-overflow",
  "size-mismatch",
  "tensor-not-found",
  "trailing-bytes",
  "unexpected-field",
  "unknown-dtype",
] as const;
export type SafetensorsErrorCode = (typeof safetensorsErrorCodes)[number];

export function fault(
  code: SafetensorsErrorCode,
  message: string,
  details: Readonly<Record<string, unknown>>,
): SafetensorsError {
  return new SafetensorsError(code, message, details);
}

/** Quotes a text from the file, cut to suit a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
