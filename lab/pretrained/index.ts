export { type Answer, documentOf, readAnswers, writeAnswers } from "./answers.js";
export { type ChatPrompt, chatPrompts, type PromptSplit } from "./prompts.js";
export { type AnswerSet, completeStates, trainMaps } from "./train-maps.js";
