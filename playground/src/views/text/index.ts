/** Texts: what is written, answered and raced, token by token. */
export { answerSummary, ChatView, showChatStatus } from "./chat-view.js";
export { depthColor, depthName, type DepthScale } from "./depth-scale.js";
export { showInspector } from "./inspector-view.js";
export { RaceView } from "./race-view.js";
export { showRounds } from "./rounds-view.js";
export { TextView } from "./text-view.js";
