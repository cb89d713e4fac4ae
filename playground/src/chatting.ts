/** The conversation: sends messages and shows answers, one at a time. */
import { isCancelled, type Session } from "./session.js";
import {
  answerSummary,
  ChatView,
  chosenMode,
  clearError,
  decodingOptions,
  showChatStatus,
  showError,
} from "./views/index.js";

export class Chatting {
  readonly #session: Session;
  readonly #view = new ChatView();
  #answering = false;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Offers a conversation with the model that is open. */
  offer(canChat: boolean): void {
    this.#view.offer(canChat);
  }

  /** Sends the message in the form, and shows the answer. While one is written, the message stays in the form. */
  async send(): Promise<void> {
    const { client, ready, policy, points } = this.#session;
    if (ready === undefined || this.#answering) return;
    const message = this.#view.takeMessage();
    if (message === undefined) return;
    this.#answering = true;
    const controller = this.#session.begin("chat");
    const mode = chosenMode();
    this.#view.begin(message, this.#session.scaleOf(mode));
    showChatStatus("Answering …");
    try {
      const answer = await client.request(
        { type: "chat", mode, message, ...decodingOptions(policy, points.topP) },
        { signal: controller.signal, onEvent: (token) => this.#view.add(token) },
      );
      clearError();
      this.#view.end();
      showChatStatus(answerSummary(answer, mode !== "plain"));
    } catch (error) {
      this.#fail(error, message);
    } finally {
      this.#answering = false;
      this.#session.end(controller);
    }
  }

  /** Forgets the conversation. */
  async clear(): Promise<void> {
    this.#view.clear();
    await this.#session.client.request({ type: "clearChat" }).catch(showError);
  }

  /** A message that was not answered returns to the form; an answer that was stopped stays as it is. */
  #fail(error: unknown, message: string): void {
    if (isCancelled(error)) {
      this.#view.end();
      showChatStatus("Stopped.");
    } else {
      this.#view.takeBack(message);
      showChatStatus("");
      showError(error);
    }
  }
}
