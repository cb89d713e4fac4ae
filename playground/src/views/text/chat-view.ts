/**
 * The conversation, and the form below it. An answer grows token by token, each coloured by its depth. The log is busy
 * while an answer grows, so that screen readers read it once, when it is complete.
 */
import type { Answer, TokenEvent } from "../../engine/index.js";
import type { DepthScale } from "./depth-scale.js";
import { byId, element } from "../dom.js";
import { tokenElement } from "./token-element.js";

const NO_TEMPLATE =
  "This model came without a chat template: it continues texts and answers no questions. Open an " +
  "instruction-tuned model, such as a GGUF file of SmolLM2-135M-Instruct, to talk to it.";

export class ChatView {
  readonly #log = byId("chat-log");
  readonly #message = byId("chat-message", HTMLTextAreaElement);
  #scale: DepthScale = { numLayers: 1, depths: [] };
  #answer: HTMLElement | undefined;

  /** Takes the message out of the form; undefined if there is none. */
  takeMessage(): string | undefined {
    const message = this.#message.value.trim();
    if (message === "") return undefined;
    this.#message.value = "";
    return message;
  }

  /** Shows a message, and an answer that is still empty. */
  begin(message: string, scale: DepthScale): void {
    this.#scale = scale;
    this.#answer = element("p", { class: "words" });
    this.#log.setAttribute("aria-busy", "true");
    this.#log.append(turnElement("You", element("p", { class: "words" }, message)), turnElement("Model", this.#answer));
    this.#follow();
  }

  add(token: TokenEvent): void {
    this.#answer?.append(...tokenElement(token, this.#scale));
    this.#follow();
  }

  end(): void {
    this.#log.setAttribute("aria-busy", "false");
    this.#answer = undefined;
  }

  /** Takes back the last message and its empty answer, because the turn failed; the message returns to the form. */
  takeBack(message: string): void {
    this.end();
    this.#log.lastElementChild?.remove();
    this.#log.lastElementChild?.remove();
    if (this.#message.value === "") this.#message.value = message;
  }

  clear(): void {
    this.#log.replaceChildren();
    this.end();
    showChatStatus("");
  }

  /** Offers the form to models that can chat, and tells the others why they cannot. */
  offer(canChat: boolean): void {
    this.clear();
    byId("chat-body").hidden = !canChat;
    byId("chat-note").textContent = canChat ? "Enter sends the message, Shift+Enter starts a new line." : NO_TEMPLATE;
  }

  #follow(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
  }
}

export function showChatStatus(text: string): void {
  byId("chat-status").textContent = text;
}

export function answerSummary({ newTokens, promptTokens, reusedTokens, ...answer }: Answer, exits: boolean): string {
  const depth = exits ? `, mean depth ${answer.meanDepth.toFixed(2)}` : "";
  return (
    `${newTokens} tokens, ${answer.tokensPerSecond.toFixed(0)} per second${depth}; ` +
    `prompt of ${promptTokens} tokens, ${reusedTokens} of them cached.`
  );
}

function turnElement(speaker: string, words: HTMLElement): HTMLElement {
  return element("div", { class: "turn", "data-speaker": speaker }, element("h3", {}, speaker), words);
}
