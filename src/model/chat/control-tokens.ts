/**
 * Control tokens in a rendered conversation: those that the template wrote are control tokens, those spelled out in a
 * message are text. Rendered text does not show the difference, so contents are first marked with a private-use
 * character that occurs nowhere in the conversation: no control token begins at a mark or reaches across. Marks stand
 *
 *   before every control token that a content spells out,
 *   before the end of a content that may begin one (`<|im`), which text of the template might complete,
 *   before a content whose beginning may end one (`|>`), which text of the template might begin.
 *
 * Filters of templates leave marks where they are: `trim` does not see them, because whitespace is never marked, and
 * `tojson` writes them as themselves or escaped. Where a template compares a content with a text, as in
 * `type == "object"` beside `<|object_start|>`, a mark may change what it writes; only the first kind stays then. Left
 * out: a template that cuts a content apart and itself adds the missing part.
 */
import { TemplateError } from "../../errors.js";
import { giveTurn } from "../../turns.js";
import type { TextParts, Tokenizer } from "../tokenizer/tokenizer.js";
import type { ChatMessage } from "./messages.js";
import { type ChatOptions, type ChatTemplate, renderChat } from "./render-chat.js";

/** Prefix tree of spellings, by UTF-16 code unit. */
interface Node {
  readonly next: Map<string, Node>;
  id: number | undefined;
}

export type ChatTokenizer = Pick<
  Tokenizer,
  "bosTokenId" | "chatTemplate" | "decode" | "encodeParts" | "eosTokenId" | "specialTokens"
>;

/** Renders a conversation; ids are those of control tokens that the template wrote. */
export async function renderParts(
  tokenizer: ChatTokenizer,
  template: ChatTemplate,
  messages: readonly ChatMessage[],
  options: ChatOptions,
): Promise<TextParts> {
  const control = new ControlTokens(tokenizer.specialTokens);
  const mark = unusedMark(messages, template, options);
  const spelling = (id: number | undefined): string | undefined =>
    id === undefined ? undefined : tokenizer.decode([id], { skipSpecialTokens: false });
  const render = async (marked: <T>(value: T) => T): Promise<string> => {
    const contents = messages.map((message) => ({ ...marked(message), role: message.role }));
    await giveTurn(); // a message may have a megabyte
    const rendered = await renderChat(template, contents, {
      ...options,
      bosToken: spelling(tokenizer.bosTokenId),
      eosToken: spelling(tokenizer.eosTokenId),
      tools: marked(options.tools),
      documents: marked(options.documents),
    });
    return rendered.replaceAll(escaped(mark), mark);
  };
  const rendered = await render((value) => control.mark(value, mark));
  const same = rendered.replaceAll(mark, "") === (await render((value) => value));
  return control.split(same ? rendered : await render((value) => control.mark(value, mark, false)), mark);
}

class ControlTokens {
  readonly #root: Node = { next: new Map(), id: undefined };
  readonly #spellings: readonly string[];

  /** `tokens` maps spellings to ids. */
  constructor(tokens: ReadonlyMap<string, number>) {
    this.#spellings = [...tokens.keys()];
    for (const [spelling, id] of tokens) {
      let node = this.#root;
      for (const unit of spelling.split("")) {
        const next = node.next.get(unit) ?? { next: new Map<string, Node>(), id: undefined };
        node.next.set(unit, next);
        node = next;
      }
      node.id = id;
    }
  }

  /** Copies a JSON-like value, with marks in strings and keys; without `parts`, and in keys, only the first kind. */
  mark<T>(value: T, mark: string, parts = true): T {
    const markKey = (key: string): string => this.#markText(key, mark, false);
    return mapStrings(value, (text) => this.#markText(text, mark, parts), markKey) as T;
  }

  /** Splits rendered text at the template's control tokens, and removes the marks. */
  split(rendered: string, mark: string): TextParts {
    const parts: (string | number)[] = [];
    let text = "";
    let marked = false;
    for (let at = 0; at < rendered.length;) {
      if (rendered.startsWith(mark, at)) {
        marked = true;
        at += mark.length;
        continue;
      }
      const { id, end } = this.#longestAt(rendered, at);
      if (id === undefined || marked) {
        text += rendered[at]!;
        at++;
      } else {
        if (text !== "") parts.push(text);
        parts.push(id);
        text = "";
        at = end;
      }
      marked = false;
    }
    if (text !== "") parts.push(text);
    return parts;
  }

  #markText(text: string, mark: string, parts: boolean): string {
    let marked = parts && this.#mayEndOne(text) ? mark : "";
    for (let at = 0; at < text.length; at++) {
      const { id, touchesEnd } = this.#longestAt(text, at);
      if ((id !== undefined || (parts && touchesEnd)) && !(at === 0 && marked !== "")) marked += mark;
      marked += text[at]!;
    }
    return marked;
  }

  /** True if a text is, or begins with, a later part of a spelling. */
  #mayEndOne(text: string): boolean {
    if (text === "") return false;
    return this.#spellings.some((spelling) => {
      for (let from = 1; from < spelling.length; from++) {
        const rest = spelling.slice(from);
        if (text.startsWith(rest) || rest.startsWith(text)) return true;
      }
      return false;
    });
  }

  /** Longest control token at `at`; `touchesEnd` if a longer one might go on after the text. */
  #longestAt(
    text: string,
    at: number,
  ): { readonly id: number | undefined; readonly end: number; readonly touchesEnd: boolean } {
    let node: Node | undefined = this.#root;
    let id: number | undefined;
    let end = at;
    let i = at;
    for (; i < text.length; i++) {
      node = node.next.get(text[i]!);
      if (node === undefined) break;
      if (node.id !== undefined) [id, end] = [node.id, i + 1];
    }
    return { id, end, touchesEnd: i === text.length && node !== undefined && node.next.size > 0 };
  }
}

/** A private-use character that occurs nowhere in some values. */
function unusedMark(...values: readonly unknown[]): string {
  const used = JSON.stringify(values);
  for (let code = 0xe000; code < 0xf900; code++) {
    const mark = String.fromCharCode(code);
    if (!used.includes(mark) && !used.includes(escaped(mark))) return mark;
  }
  throw new TemplateError("chat-characters", "chat: the conversation uses all 6,400 private-use characters of 16 bits");
}

/** As `tojson` writes it beside `ensure_ascii`. */
function escaped(mark: string): string {
  return `\\u${mark.charCodeAt(0).toString(16)}`;
}

/** Changes all strings but keys of a JSON-like value. */
type Change = (text: string) => string;

function mapStrings(value: unknown, change: Change, changeKey: Change): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => mapStrings(item, change, changeKey));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [changeKey(key), mapStrings(item, change, changeKey)]);
  return Object.fromEntries(entries) as unknown;
}
