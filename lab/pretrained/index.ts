export { type Alternative, compareAlternatives } from "./alternatives.js";
export { readAnswers, writeAnswers } from "./answers.js";
export { type CurvePoint, pretrainedCard } from "./card.js";
export { answerTokens, deployMaps, recordAnswers } from "./deploy.js";
export { type ChatPrompt, chatPrompts, type PromptSplit } from "./prompts.js";
export { type AnswerSet, completeStates, trainMaps } from "./train-maps.js";
