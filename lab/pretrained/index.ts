export { writeAnswers } from "./answers.js";
export { type ChatPrompt, chatPrompts } from "./prompts.js";
