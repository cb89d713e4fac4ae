/**
 * tokenizer.json's "decoder" as a rule from token to bytes: "ByteLevel" (a character is a byte), or sentencepiece's
 * sequence of Replace, ByteFallback ("<0x0A>" is a byte), Fuse and Strip (of the text's leading spaces).
 */
import { byteSymbols } from "./byte-level.js";
import type { TokenBytes } from "./decoding.js";
import { list, malformed, record, unsupported } from "./fields.js";
import type { AddedToken } from "./vocabulary.js";
import { shown } from "../../shown.js";

const utf8 = new TextEncoder();

/** Bytes by id, each token's computed once. */
export function readTokenBytes(
  value: unknown,
  tokens: readonly (string | undefined)[],
  added: readonly AddedToken[],
): TokenBytes {
  const rules = readRules(value);
  const contents = new Map(added.map(({ id, content }) => [id, content]));
  const specialIds = new Set(added.filter(({ special }) => special).map(({ id }) => id));
  const computed: (Uint8Array | undefined)[] = [];
  return {
    size: added.reduce((size, { id }) => Math.max(size, id + 1), tokens.length),
    bytes(id) {
      const token = contents.get(id) ?? tokens[id];
      if (token === undefined) return undefined;
      return (computed[id] ??= rules.byteLevel ? symbolBytes(token, contents.has(id)) : pieceBytes(token, rules));
    },
    isSpecial: (id) => specialIds.has(id),
    leadingSpaces: rules.leadingSpaces,
  };
}

interface DecoderRules {
  readonly byteLevel: boolean;
  readonly byteFallback: boolean;
  /** Replacements in order. */
  readonly replacements: readonly (readonly [from: string, to: string])[];
  readonly leadingSpaces: number;
}

function readRules(value: unknown): DecoderRules {
  const steps = stepsOf(value);
  const replacements: [from: string, to: string][] = [];
  let leadingSpaces = 0;
  let fused = false;
  for (const [i, step] of steps.entries()) {
    const { type, content } = step;
    const where = `decoder step ${i + 1} of ${steps.length}`;
    const pattern = type === "Replace" ? record(`${where}.pattern`, step["pattern"])["String"] : undefined;
    if (type === "Replace" && !fused && typeof pattern === "string" && typeof content === "string") {
      replacements.push([pattern, content]);
    } else if (type === "Fuse") {
      fused = true;
    } else if (type === "Strip" && fused && content === " " && Number(step["stop"] ?? 0) === 0) {
      leadingSpaces = requireSpaces(where, step["start"] ?? 0);
    } else if (!(type === "ByteLevel" && steps.length === 1) && !(type === "ByteFallback" && !fused)) {
      throw unsupported(
        where,
        shown(step),
        "ByteLevel alone, or Replace of a string, ByteFallback, Fuse, Strip of leading spaces, in this order",
      );
    }
  }
  return {
    byteLevel: steps.some(({ type }) => type === "ByteLevel"),
    byteFallback: steps.some(({ type }) => type === "ByteFallback"),
    replacements,
    leadingSpaces,
  };
}

/** More would be a mistake. */
const MOST_SPACES = 1024;

function requireSpaces(where: string, value: unknown): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MOST_SPACES) return value;
  throw malformed(`${where}.start`, shown(value), `an integer in [0, ${MOST_SPACES}]`);
}

interface DecoderStep extends Record<string, unknown> {
  readonly type?: unknown;
  readonly content?: unknown;
}

/** Steps, nested ones included, one after another. */
function stepsOf(value: unknown): DecoderStep[] {
  const decoder: DecoderStep = record("decoder", value);
  return decoder.type === "Sequence" ? list("decoder.decoders", decoder["decoders"]).flatMap(stepsOf) : [decoder];
}

const byteOf = new Map(byteSymbols.map((symbol, byte) => [symbol, byte]));

/** Added tokens, and those with other characters, are plain text. */
function symbolBytes(token: string, isAdded: boolean): Uint8Array {
  const bytes = isAdded ? [undefined] : Array.from(token, (character) => byteOf.get(character));
  return bytes.every((byte) => byte !== undefined) ? Uint8Array.from(bytes) : utf8.encode(token);
}

/** Plain text after the replacements, or one byte as <0x0A>. */
function pieceBytes(token: string, { byteFallback, replacements }: DecoderRules): Uint8Array {
  const replaced = replacements.reduce((text, [from, to]) => text.replaceAll(from, to), token);
  const fallback = byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(replaced)?.[1] : undefined;
  return fallback === undefined ? utf8.encode(replaced) : Uint8Array.of(parseInt(fallback, 16));
}
