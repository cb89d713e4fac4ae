export { compareAlternatives } from "./alternatives.js";
export { documentOf, readAnswers, writeAnswers } from "./answers.js";
export { type CertifiedFacts, dtypeCard, pretrainedCard } from "./card.js";
export { debtsTable } from "./debts-table.js";
export { answerTokens, deployMaps, listedTokens, recordAnswers } from "./deploy.js";
export { heldPrompts, requireUncertified, unusedPrompts } from "./held-prompts.js";
export {
  type ChatPrompt,
  chatPrompts,
  chooseHeldOut,
  isCertifying,
  isHeld,
  knownConversations,
  type PromptSplit,
} from "./prompts.js";
export { promiseTable } from "./promise-table.js";
export { exactCertificates, readCertificates } from "./read-certificates.js";
export { alternativesChart, alternativesTable } from "./show-alternatives.js";
export { type AnswerSet, completeStates, type DepthStart, measureStarts, readCurve, trainMaps } from "./train-maps.js";
export { certifyProjected, fitKeys } from "./project.js";
