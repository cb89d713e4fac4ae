/** What the page shows; each view writes into the elements of index.html. */
export { answerSummary, ChatView, showChatBusy, showChatStatus } from "./chat-view.js";
export {
  chosenDevice,
  chosenDtype,
  chosenMode,
  clearError,
  decodingOptions,
  offerDevices,
  offerModes,
  showBusy,
  showError,
  showStatus,
  slowMotion,
  writeOptions,
} from "./controls.js";
export { modeNames, showLedger, showTimings } from "./cost-view.js";
export { type DepthScale } from "./depth-scale.js";
export { showDepths, summaryOf } from "./depths-view.js";
export { byId } from "./dom.js";
export { percent } from "./format.js";
export { showInspector } from "./inspector-view.js";
export { showLegend, showModel } from "./model-view.js";
export { PointsView } from "./points-view.js";
export { showRounds } from "./rounds-view.js";
export { TextView } from "./text-view.js";
