/** Chat templates of the three common kinds, and a byte-level tokenizer that has the control tokens of all of them. */
import { attachHeads, fitProjections } from "early-exits";
import { huggingFaceTokenizer, trainByteLevelBpe } from "early-exits/model";
import { byteConfig, smallModel } from "../../support/models.js";

/** As Qwen, SmolLM and many others write turns. */
export const chatMl = `{%- for message in messages -%}
    {%- if loop.first and message['role'] != 'system' -%}
        {{ '<|im_start|>system\\nBe brief.<|im_end|>\\n' }}
    {%- endif -%}
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<|im_start|>assistant\\n' }}
{%- endif -%}`;

/** As Llama 3 does: it writes the begin-of-text token, trims contents and may know the date. */
export const llama3 = `{{- bos_token }}
{%- if strftime_now is defined %}
    {{- "<|start_header_id|>date<|end_header_id|>\\n\\n" + strftime_now("%d %b %Y") + "<|eot_id|>" }}
{%- endif %}
{%- if tools is not none and tools is defined %}
    {{- "<|start_header_id|>tools<|end_header_id|>\\n\\n" }}
    {%- for tool in tools %}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "<|eot_id|>" }}
{%- endif %}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}`;

/** As Gemma does: no system role, turns must alternate. */
export const gemma = `{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {{ raise_exception('System role not supported') }}
{%- endif -%}
{%- for message in messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (message['content'] | trim) + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}`;

export const controlSpellings = [
  "<|endoftext|>",
  "<|im_start|>",
  "<|im_end|>",
  "<|begin_of_text|>",
  "<|start_header_id|>",
  "<|end_header_id|>",
  "<|eot_id|>",
  "<start_of_turn>",
  "<end_of_turn>",
] as const;

/** 256 bytes, the control tokens and a few merges. */
export const chatTokenizerJson = trainByteLevelBpe(
  ["user assistant system model: what is the answer? the answer is short. <|im_ |> <end_of ".repeat(4)],
  { vocabSize: 300, specialTokens: controlSpellings },
);

/** A tokenizer whose conversations a template writes; `config` is further contents of tokenizer_config.json. */
export function chatTokenizer(chatTemplate: unknown, config: object = {}) {
  return huggingFaceTokenizer(chatTokenizerJson, {
    bos_token: "<|begin_of_text|>",
    eos_token: "<|im_end|>",
    chat_template: chatTemplate,
    ...config,
  });
}

/** config.json of a small model with room for the tokenizer's vocabulary; its turns end with <|im_end|>. */
export const chatConfig = {
  ...byteConfig,
  vocab_size: 300,
  max_position_embeddings: 256,
  bos_token_id: 3,
  eos_token_id: 2,
};

export interface ChatModelOptions {
  readonly template?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A small model with random weights that has a chat template. */
export async function chatModel({ template = chatMl, config = chatConfig }: ChatModelOptions = {}) {
  return smallModel({ config, tokenizer: await chatTokenizer(template) });
}

/** Heads on it, with learned keys and values. */
export async function chatHeads() {
  const heads = attachHeads(await chatModel(), { exits: [1, 2] });
  await fitProjections(heads, ["what is the answer? the answer is short. ".repeat(20)], { sequenceLength: 16 });
  return heads;
}
