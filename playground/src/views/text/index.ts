/** Texts: what is written, answered and raced, token by token. */
export { showBeside } from "./beside-view.js";
export { answerSummary, ChatView, showChatStatus } from "./chat-view.js";
export { depthColor, depthName, type DepthScale } from "./depth-scale.js";
export { askDepths } from "./guess-view.js";
export { showInspector } from "./inspector-view.js";
export { MapView } from "./map-view.js";
export { playRace } from "./race-view.js";
export { showRounds } from "./rounds-view.js";
export { TextView } from "./text-view.js";
