/** Views of the page; each writes into the elements of index.html. */
export {
  type Activity,
  chosenDevice,
  chosenDtype,
  chosenMode,
  clearError,
  decodingOptions,
  fillForm,
  type FormSettings,
  formSettings,
  messageOf,
  offerDevices,
  offerModes,
  showActivity,
  showError,
  showOffline,
  showStatus,
  slowMotion,
  writeOptions,
} from "./controls.js";
export { byId } from "./dom.js";
export { percent } from "./format.js";
export { showLegend, showModel, showSource, type Source } from "./model-view.js";
export * from "./points/index.js";
export { copy, copyLink } from "./share-view.js";
export * from "./text/index.js";
