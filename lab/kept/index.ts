/** Accuracy on tasks that ways of decoding keep. */
export { answerTasks } from "./answer-tasks.js";
export { letterTask, type Question, wordTasks } from "./chat-tasks.js";
export { keptAccuracy, standardError } from "./kept-accuracy.js";
