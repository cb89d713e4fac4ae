/** Conversations: messages, chat templates, and the tokens that a conversation becomes. */
export { type ChatTokenizer, encodeChat, requireChatTemplate } from "./encode-chat.js";
export { type ChatMessage, type ChatRole, checkMessages } from "./messages.js";
export { type ChatOptions, type ChatTemplate, renderChat, type TokenSpellings } from "./render-chat.js";
