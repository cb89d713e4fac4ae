/** The sections of the demo: the data that each computes, and the words that tell it. */
export { answerQuestions, type ChatPlan, chatWords, openChatDemo, timeAnswers } from "./chat/index.js";
export { embeddedHeads, embeddedModel, openDemo } from "./demo.js";
export { attachDemoHeads, trainDemoHeads } from "./heads-section.js";
export { showModel } from "./model-section.js";
export { compareSpeeds } from "./speed-section.js";
export { writeTexts } from "./texts-section.js";
export { chooseThresholds } from "./thresholds-section.js";
export * as words from "./words.js";
