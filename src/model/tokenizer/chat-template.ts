/** The chat template in tokenizer_config.json: a template, or a list of `{ name, template }`. */
import { list, malformed, record } from "./fields.js";
import type { Tokenizer } from "./tokenizer.js";
import { shown } from "../../shown.js";

export function readChatTemplate(value: unknown): Tokenizer["chatTemplate"] {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  const where = "tokenizer_config.json chat_template";
  const templates = list(where, value).map((entry, i): [string, string] => {
    const { name, template } = record(`${where}[${i}]`, entry);
    if (typeof name !== "string" || typeof template !== "string") {
      throw malformed(`${where}[${i}]`, shown(entry), "a name and a template, both strings");
    }
    return [name, template];
  });
  return Object.fromEntries(templates);
}
