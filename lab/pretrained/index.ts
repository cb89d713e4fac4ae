export { type Answer, readAnswers, writeAnswers } from "./answers.js";
export { type ChatPrompt, chatPrompts, HELD_OUT, type PromptSplit } from "./prompts.js";
