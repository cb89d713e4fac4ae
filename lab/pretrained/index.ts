export { type Alternative, compareAlternatives } from "./alternatives.js";
export { type Answer, readAnswers, writeAnswers } from "./answers.js";
export { type CurvePoint, pretrainedCard } from "./card.js";
export { answerTokens, deployMaps, listedTokens, recordAnswers } from "./deploy.js";
export { heldPrompts, requireUncertified, trainingPrompts, unusedPrompts } from "./held-prompts.js";
export { type ChatPrompt, chatPrompts, knownConversations, type PromptSplit } from "./prompts.js";
export { exactCertificates, readCertificates } from "./read-certificates.js";
export { type AnswerSet, completeStates, trainMaps } from "./train-maps.js";
export { certifyProjected, fitKeys } from "./project.js";
