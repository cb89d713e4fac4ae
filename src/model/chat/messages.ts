/** Messages of a conversation, checked before a template sees them. */
import { OptionError } from "../../errors.js";

type ChatRole = "system" | "user" | "assistant" | "tool";
const ROLES: readonly ChatRole[] = ["system", "user", "assistant", "tool"];

/** Further fields, such as `tool_calls`, reach the template as they are. */
export interface ChatMessage {
  readonly role: ChatRole;
  readonly content: string;
  readonly [field: string]: unknown;
}

/** Throws an OptionError if there are none, or one has no legal role or no text. */
export function checkMessages(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  if (messages.length === 0) {
    throw new OptionError("messages-empty", "chat: the conversation has no messages; give at least one");
  }
  for (const [index, message] of messages.entries()) checkMessage(message, index);
  return messages;
}

function checkMessage(message: unknown, index: number): void {
  const where = `chat: message ${index}`;
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw new OptionError(
      "message-malformed",
      `${where} is ${JSON.stringify(message)}; expected { role, content } with two strings`,
      { index },
    );
  }
  const { role, content } = message as Readonly<Record<string, unknown>>;
  if (!ROLES.some((legal) => legal === role)) {
    throw new OptionError(
      "message-role",
      `${where} has the role ${JSON.stringify(role)}; legal are ${ROLES.join(", ")}`,
      { index, role },
    );
  }
  if (typeof content !== "string") {
    throw new OptionError(
      "message-content",
      `${where} has the content ${JSON.stringify(content)}; expected a string (join the parts of a list)`,
      { index },
    );
  }
}
