/** The demo on a pretrained chat model. */
export { answerQuestions, type ChatPlan, openChatDemo, timeAnswers } from "./chat-demo.js";
export * as chatWords from "./chat-words.js";
