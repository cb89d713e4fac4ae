/**
 * Special tokens around a text. tokenizer.json's "post_processor" has a template; tokenizer_config.json may name
 * bos_token and eos_token, and overrule it by add_bos_token and add_eos_token.
 */
import { list, malformed, record, tokenId, unsupported } from "./fields.js";
import type { AddedToken } from "./vocabulary.js";
import { shown } from "../../shown.js";

export interface SpecialTokens {
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/** `idOf` looks among added tokens and vocabulary. */
export function readSpecialTokens(
  postProcessor: unknown,
  config: Readonly<Record<string, unknown>>,
  added: readonly AddedToken[],
  idOf: (token: string) => number | undefined,
): SpecialTokens {
  const { before, after } = readTemplate(postProcessor);
  const conventional = (...names: string[]): number | undefined =>
    added.find(({ special, content }) => special && names.includes(content))?.id;
  const bosTokenId = namedToken(
    config,
    "bos_token",
    idOf,
    before[0] ?? conventional("<s>", "<|begin_of_text|>", "<|endoftext|>"),
  );
  const eosTokenId = namedToken(
    config,
    "eos_token",
    idOf,
    after.at(-1) ?? conventional("</s>", "<|end_of_text|>", "<|endoftext|>"),
  );
  return {
    bosTokenId,
    eosTokenId,
    prefix: withFlag(config, "add_bos_token", before, bosTokenId),
    suffix: withFlag(config, "add_eos_token", after, eosTokenId),
  };
}

interface Template {
  readonly before: number[];
  readonly after: number[];
}

function readTemplate(value: unknown): Template {
  const template: Template = { before: [], after: [] };
  if (value === null) return template;
  const processor = record("post_processor", value);
  switch (processor["type"]) {
    case "Sequence":
      for (const inner of list("post_processor.processors", processor["processors"]).map(readTemplate)) {
        template.before.unshift(...inner.before);
        template.after.push(...inner.after);
      }
      break;
    case "TemplateProcessing":
      fillTemplate(template, processor);
      break;
    case "ByteLevel":
      break;
    default:
      throw unsupported(
        "post_processor.type",
        shown(processor["type"]),
        "null, ByteLevel, TemplateProcessing or a Sequence of them",
      );
  }
  return template;
}

/** "single": special tokens, the text ("Sequence"), special tokens. */
function fillTemplate({ before, after }: Template, processor: Readonly<Record<string, unknown>>): void {
  const table = record("post_processor.special_tokens", processor["special_tokens"]);
  let side = before;
  for (const item of list("post_processor.single", processor["single"])) {
    const part = record("post_processor.single", item);
    if ("Sequence" in part) {
      side = after;
      continue;
    }
    const name = String(record("post_processor.single", part["SpecialToken"])["id"]);
    const where = `post_processor.special_tokens.${name}`;
    const ids = list(`${where}.ids`, record(where, table[name])["ids"]);
    side.push(...ids.map((id) => tokenId(`${where}.ids`, id)));
  }
}

/**
 * Id of `bos_token` or `eos_token` (a string, or an object with `content`); `fallback` if absent, undefined if null.
 */
function namedToken(
  config: Readonly<Record<string, unknown>>,
  key: "bos_token" | "eos_token",
  idOf: (token: string) => number | undefined,
  fallback: number | undefined,
): number | undefined {
  const value = config[key];
  if (value === undefined) return fallback;
  if (value === null) return undefined;
  const token = typeof value === "string" ? value : record(`tokenizer_config.json ${key}`, value)["content"];
  const id = typeof token === "string" ? idOf(token) : undefined;
  if (id === undefined) {
    throw malformed(`tokenizer_config.json ${key}`, shown(value), "a token of tokenizer.json, or null");
  }
  return id;
}

/** add_bos_token or add_eos_token: true puts the id, false removes it, absent leaves the template. */
function withFlag(
  config: Readonly<Record<string, unknown>>,
  key: "add_bos_token" | "add_eos_token",
  ids: readonly number[],
  id: number | undefined,
): number[] {
  const flag = config[key];
  if (flag === false) return ids.filter((other) => other !== id);
  if (flag !== true || (id !== undefined && ids.includes(id))) return [...ids];
  if (id === undefined) {
    const legal = `false, or name the token as ${key.slice("add_".length)}`;
    throw malformed(`tokenizer_config.json ${key}`, "true, but no such token", legal);
  }
  return key === "add_bos_token" ? [id, ...ids] : [...ids, id];
}
