/**
 * Conversations as the text that a model was trained to read, written by the model's own template. It gets what
 * transformers' `apply_chat_template` gives it: `messages`, `tools` and `documents` (none if there are none, but
 * defined), `add_generation_prompt`, the spellings of `bos_token` and `eos_token`, and variables of its own.
 */
import { TemplateError } from "../../errors.js";
import { type ChatMessage, checkMessages } from "./messages.js";

/** One Jinja template, or several by name: "default", "tool_use", … */
export type ChatTemplate = string | Readonly<Record<string, string>>;

export interface ChatOptions {
  /** A Jinja template used instead of the tokenizer's, or the name of one of the tokenizer's. */
  readonly template?: string | undefined;
  /** Ends the text where the assistant's answer begins. @default true */
  readonly addGenerationPrompt?: boolean | undefined;
  /** JSON schemas. */
  readonly tools?: readonly object[] | undefined;
  readonly documents?: readonly object[] | undefined;
  /** Date for `strftime_now`. Without it templates see none, because the core reads no clock. */
  readonly date?: Date | undefined;
  /** Variables of the template's own, such as `{ enable_thinking: false }`. */
  readonly variables?: Readonly<Record<string, unknown>> | undefined;
}

export interface TokenSpellings {
  readonly bosToken?: string | undefined;
  readonly eosToken?: string | undefined;
}

/**
 * Throws an OptionError for malformed messages, and a TemplateError if there is no template or it cannot be rendered.
 */
export async function renderChat(
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: ChatOptions & TokenSpellings = {},
): Promise<string> {
  const { addGenerationPrompt = true, tools, documents, bosToken, eosToken, date, variables } = options;
  const spellings = {
    ...(bosToken !== undefined && { bos_token: bosToken }),
    ...(eosToken !== undefined && { eos_token: eosToken }),
  };
  const { runTemplate } = await import("./run-template.js"); // loaded, as the engine is, for the first conversation
  return runTemplate(chooseTemplate(template, options), {
    date,
    variables: {
      ...spellings,
      messages: checkMessages(messages),
      tools: tools ?? null,
      documents: documents ?? null,
      add_generation_prompt: addGenerationPrompt,
      ...variables,
    },
  });
}

/** The template asked for, the one for tools if there are tools, or the default. */
function chooseTemplate(template: ChatTemplate, { template: asked, tools }: ChatOptions): string {
  if (typeof template === "string") return asked ?? template;
  const named = (name: string): string | undefined => (Object.hasOwn(template, name) ? template[name] : undefined);
  if (asked !== undefined) return named(asked) ?? asked;
  const chosen = (tools === undefined ? undefined : named("tool_use")) ?? named("default");
  if (chosen !== undefined) return chosen;
  throw new TemplateError(
    "template-name",
    `chat template: none of the tokenizer's templates is called "default"; name one of ` +
      `${Object.keys(template).join(", ")} as the option template`,
    { names: Object.keys(template) },
  );
}
